-- A stage will not start. In: id, cancelled or skipped, now, the reason or null.
update penstock_stage set state = ?2, open = 0, ended_at = ?3, reason = ?4 where id = ?1
