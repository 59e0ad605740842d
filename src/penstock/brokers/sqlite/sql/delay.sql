-- Put a job among the delayed. In: run_at, seq.
insert into penstock_delayed (run_at, seq) values (?1, ?2)
