-- Add to the counters of batches. In: batches, done, failed, retried, total.
insert into penstock.batch as b (id, total, done, failed, retried)
select x.id, sum(x.total), sum(x.done), sum(x.failed), sum(x.retried)
from unnest(%(batches)s::uuid[], %(done)s::int8[], %(failed)s::int8[], %(retried)s::int8[], %(total)s::int8[]) as x (id, done, failed, retried, total)
group by x.id
order by x.id
on conflict (id) do update set total = b.total + excluded.total, done = b.done + excluded.done, failed = b.failed + excluded.failed,
                               retried = b.retried + excluded.retried
