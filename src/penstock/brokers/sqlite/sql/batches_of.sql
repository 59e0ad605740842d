-- The batches of some jobs. In: JSON array of seqs. Out: id.
select distinct batch from penstock_job where seq in (select value from json_each(?1)) and batch is not null
