-- Note why a job ended, and free its unique key and its place in an order. In: seq, attempts to add, failure or null,
-- crashes to add.
update penstock_job set attempt = attempt + ?2, crashes = crashes + ?4, failure = coalesce(?3, failure), uniq = null, turn = case when turn > 0 then 0 else turn end where seq = ?1
