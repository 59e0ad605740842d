-- Delete jobs. In: JSON array of seqs.
delete from penstock_job where seq in (select value from json_each(?1))
