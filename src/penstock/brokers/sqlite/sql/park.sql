-- Park a job. In: seq.
insert into penstock_parked (task, seq) select task, seq from penstock_job where seq = ?1
