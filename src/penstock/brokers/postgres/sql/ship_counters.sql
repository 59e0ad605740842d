-- The counters of batches, locked. In: ids. Out: id, done, failed, retried, total.
select id, done, failed, retried, total from penstock.batch
where id = any(%(ids)s) and (total, done, failed, retried) <> (0, 0, 0, 0)
order by id
for update
