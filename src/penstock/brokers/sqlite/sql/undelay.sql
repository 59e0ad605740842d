-- Take jobs out of the delayed. In: JSON array of seqs.
delete from penstock_delayed
where (run_at, seq) in (select run_at, seq from penstock_job where seq in (select value from json_each(?1)) and run_at is not null)
