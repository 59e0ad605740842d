-- Delay the jobs after a seq that have a time to run at. In: the seq.
insert into penstock_delayed (run_at, seq)
select run_at, seq from penstock_job where seq > ?1 and run_at is not null
