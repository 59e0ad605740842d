-- Free the unique key of a job. In: seq.
update penstock_job set uniq = null where seq = ?1
