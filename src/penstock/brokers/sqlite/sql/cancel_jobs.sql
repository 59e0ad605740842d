-- Free the unique keys of jobs, and their places in an order. In: JSON array of seqs.
update penstock_job set uniq = null, run_at = null, turn = case when turn > 0 then 0 else turn end where seq in (select value from json_each(?1))
