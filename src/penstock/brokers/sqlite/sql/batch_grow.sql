-- Add the items of the jobs after a seq to their batches. In: the seq.
insert into penstock_batch (id, total, done, failed, retried)
select batch, sum(items), 0, 0, 0 from penstock_job where seq > ?1 and batch is not null group by batch
on conflict (id) do update set total = total + excluded.total
