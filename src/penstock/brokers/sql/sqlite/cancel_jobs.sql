-- Free the unique keys of jobs. In: JSON array of seqs.
update penstock_job set uniq = null, run_at = null where seq in (select value from json_each(?1))
