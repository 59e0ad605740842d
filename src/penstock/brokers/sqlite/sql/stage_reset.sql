-- A stage that was cancelled waits again. In: id, for how many stages.
update penstock_stage set state = 'waiting', open = ?2, ended_at = null, reason = null where id = ?1
