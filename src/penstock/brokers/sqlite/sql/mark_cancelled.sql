-- Ask for running jobs to be cancelled. In: JSON array of seqs. Rows changed: those that run.
update penstock_running set cancelled = 1 where seq in (select value from json_each(?1))
