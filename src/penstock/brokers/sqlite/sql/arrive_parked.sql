-- Park jobs. In: JSON array of seqs, of which those that are not stored are left out.
insert into penstock_parked (task, seq) select j.task, j.seq from json_each(?1) s cross join penstock_job j on j.seq = s.value
