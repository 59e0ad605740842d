-- Note why a job ended, and free its unique key. In: seq, attempts to add, failure or null.
update penstock_job set attempt = attempt + ?2, failure = coalesce(?3, failure), uniq = null where seq = ?1
