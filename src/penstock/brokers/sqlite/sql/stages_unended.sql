-- Stages have not ended after all: jobs of them run again. In: JSON array of seqs.
update penstock_stage set ended_at = null
where id in (select batch from penstock_job where seq in (select value from json_each(?1)) and batch is not null) and state = 'started'
