-- Replace what a job carries. In: seq, payload, items or null.
update penstock_job set payload = ?2, items = coalesce(?3, items) where seq = ?1
