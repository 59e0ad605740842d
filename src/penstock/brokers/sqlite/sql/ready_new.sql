-- Make the jobs after a seq ready, but for the delayed ones. In: the seq.
insert into penstock_ready (queue, rank, position, seq)
select queue, 9 - priority, seq, seq from penstock_job where seq > ?1 and run_at is null
