-- A stage has ended. In: id, now.
update penstock_stage set ended_at = ?2 where id = ?1 and ended_at is null
