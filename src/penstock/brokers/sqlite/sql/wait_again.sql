-- Jobs wait for their stages to start. In: JSON array of seqs.
insert into penstock_waiting (seq, stage) select seq, batch from penstock_job where seq in (select value from json_each(?1))
