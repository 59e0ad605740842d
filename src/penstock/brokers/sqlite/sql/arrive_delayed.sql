-- Delay jobs. In: JSON array of seqs, of which those that are not stored are left out.
insert into penstock_delayed (run_at, seq) select j.run_at, j.seq from json_each(?1) s cross join penstock_job j on j.seq = s.value
