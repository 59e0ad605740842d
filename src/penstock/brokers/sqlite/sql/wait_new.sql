-- The jobs after a seq wait for their stages to start. In: the seq.
insert into penstock_waiting (seq, stage) select seq, batch from penstock_job where seq > ?1
