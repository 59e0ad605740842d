-- A stage starts. In: id, now.
update penstock_stage set state = 'started', open = 0, started_at = ?2 where id = ?1
