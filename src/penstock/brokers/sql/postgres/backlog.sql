-- What is ready in some queues and may start. In: queues, most (how many to count), lines (how many of them to look at), at (epoch
-- seconds or null). Out: how many, and for how many seconds the oldest has been ready (null: there is none).
with moment as materialized (
  select coalesce(%(at)s::float8, extract(epoch from clock_timestamp())::float8) as now
), names as materialized (
  select q.name from unnest(%(queues)s) as q (name)
  where not exists (select from penstock.line l, moment where l.name = q.name and l.due > moment.now)
  union all
  (select l.name from penstock.line l, moment where l.queue = any(%(queues)s) and l.name <> l.queue and l.due <= moment.now
   limit %(lines)s::integer)
)
select
  (select count(*) from (
     select from names join penstock.job j on j.queue = names.name and j.state = 0 and j.claim is null
     limit %(most)s::integer) as counted),
  (select moment.now from moment) - (select extract(epoch from min(coalesce(head.ready_at, head.created_at)))::float8
   from names
   cross join generate_series(0, 9) as r (rank)
   cross join lateral (
     select j.ready_at, j.created_at from penstock.job j
     where j.state = 0 and j.queue = names.name and j.rank = r.rank::smallint and j.claim is null
     order by j.seq limit 1) as head)
