-- The counters of the batches of some jobs. In: JSON array of seqs. Out: id, done, failed, retried, total.
select id, done, failed, retried, total from penstock_batch
where id in (select batch from penstock_job where batch is not null and seq in (select value from json_each(?1)))
  and (total, done, failed, retried) <> (0, 0, 0, 0)
