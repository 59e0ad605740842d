-- Take jobs out of the parked. In: JSON array of seqs.
delete from penstock_parked
where (task, seq) in (select task, seq from penstock_job where seq in (select value from json_each(?1)))
