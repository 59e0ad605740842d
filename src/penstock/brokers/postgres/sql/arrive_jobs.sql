-- Store jobs that have a history, in their order; one whose id is stored or whose unique key is taken is left out. In: a column of each, where an
-- array of one value stands for that value in all of them and null for null. Out: the ids of
-- those that were stored.
insert into penstock.job (id, task, payload, state, created_at, queue, rank, options, attempt, crashes, batch, items, packed, item, at_most_once, uniq, run_at,
                          ready_at, ended_at, failure, waits)
select x.id, coalesce(x.task, (%(tasks)s::text[])[1]), x.payload, coalesce(x.state, (%(states)s::int2[])[1]), penstock.moment(x.created_at),
       coalesce(x.queue, (%(queues)s::text[])[1]), coalesce(x.rank, (%(ranks)s::int2[])[1]), x.options, coalesce(x.attempt, (%(attempts)s::int4[])[1]),
       coalesce(x.crashes, (%(crashes)s::int4[])[1]), x.batch, coalesce(x.items, (%(items)s::int4[])[1]), coalesce(x.packed, (%(packed)s::bool[])[1]), x.item,
       coalesce(x.once, (%(once)s::bool[])[1]), x.uniq, penstock.moment(x.run_at), penstock.moment(x.ready_at), penstock.moment(x.ended_at), x.failure, x.waits
from unnest(%(ids)s::uuid[], %(tasks)s::text[], %(payloads)s::bytea[], %(states)s::int2[], %(created_ats)s::float8[], %(queues)s::text[], %(ranks)s::int2[],
            %(options)s::bytea[], %(attempts)s::int4[], %(crashes)s::int4[], %(batches)s::uuid[], %(items)s::int4[], %(packed)s::bool[], %(item)s::int8[],
            %(once)s::bool[], %(uniqs)s::text[], %(run_ats)s::float8[], %(ready_ats)s::float8[], %(ended_ats)s::float8[], %(failures)s::bytea[],
            %(waits)s::bool[])
     with ordinality
     as x (id, task, payload, state, created_at, queue, rank, options, attempt, crashes, batch, items, packed, item, once, uniq, run_at, ready_at, ended_at,
           failure, waits, n)
order by x.n
on conflict do nothing
returning id
