-- The counters of batches that have no job here that waits or has ended. In: 1, or 0 for those alone whose total has left before; how many at most.
-- Out: id, done, failed, retried, total.
select id, done, failed, retried, total from penstock_batch b
where (total, done, failed, retried) <> (0, 0, 0, 0) and (?1 or total = 0)
  and not exists (select 1 from penstock_job j where j.batch = b.id and j.seq not in (select seq from penstock_running))
limit ?2
