-- The lines of jobs that are back in the ready set. In: JSON array of seqs. Out: name.
select distinct queue from penstock_job where seq in (select value from json_each(?1)) and queue >= ',' and queue < '-'
