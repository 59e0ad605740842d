-- Count a crash of jobs. In: JSON array of seqs.
update penstock_job set crashes = crashes + 1 where seq in (select value from json_each(?1))
