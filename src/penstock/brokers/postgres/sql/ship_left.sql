-- What is left to leave. In: queues or null, the time or null. Out: how many jobs could leave, how many could not, results, counters that are not zero.
with chosen as materialized (
  select queue, claim, state = 0 or coalesce(waits, false) as stands from penstock.job
  where %(queues)s::text[] is null
     or case when queue >= ',' and queue < '-' then split_part(queue, ',', 2) else queue end = any(%(queues)s)
), held as materialized (
  select count(*) as n from chosen c
  where c.claim is not null
     or (c.stands and penstock.is_ordered(c.queue)
         and exists (select from penstock.lease l where l.queue = c.queue and penstock.is_ordered(l.queue)))
)
select (select count(*) from chosen) - held.n, held.n,
       case when %(queues)s::text[] is null then (select count(*) from penstock.result where expires_at > coalesce(penstock.moment(%(at)s), clock_timestamp())) else 0 end,
       (select count(*) from penstock.batch b
        where (total, done, failed, retried) <> (0, 0, 0, 0) and (%(queues)s::text[] is null or total = 0)
          and not exists (select from penstock.job j where j.batch = b.id))
from held
