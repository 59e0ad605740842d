-- Give a job a time to run at. In: seq, run_at, attempts to add, failure or null.
update penstock_job set run_at = ?2, attempt = attempt + ?3, failure = coalesce(?4, failure) where seq = ?1
