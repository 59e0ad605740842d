-- As ready_new, but for jobs that keep an order. In: the seq.
insert into penstock_ready (queue, rank, position, seq)
select queue, 9 - priority, seq, seq from penstock_job where seq > ?1 and run_at is null and line is null
