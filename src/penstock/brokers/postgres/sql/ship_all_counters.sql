-- The counters of batches that have no job here that waits or has ended, locked. In: whether all are meant, or those alone whose total has left before; how
-- many at most. Out: id, done, failed, retried, total.
select id, done, failed, retried, total from penstock.batch b
where (total, done, failed, retried) <> (0, 0, 0, 0) and (%(all)s or total = 0)
  and not exists (select from penstock.job j where j.batch = b.id and j.claim is null)
order by id
limit %(most)s
for update
