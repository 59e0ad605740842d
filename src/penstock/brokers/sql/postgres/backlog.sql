-- What is ready in some queues. In: queues, most (how many to count), at (epoch seconds or null). Out: how many, and for how many
-- seconds the oldest has been ready (null: there is none).
select
  (select count(*) from (
     select from penstock.job where queue = any(%(queues)s) and state = 0 and claim is null limit %(most)s::integer) as some),
  (select coalesce(%(at)s::float8, extract(epoch from clock_timestamp())::float8)
          - extract(epoch from min(coalesce(head.ready_at, head.created_at)))::float8
   from unnest(%(queues)s) as q (queue)
   cross join generate_series(0, 9) as r (rank)
   cross join lateral (
     select j.ready_at, j.created_at from penstock.job j
     where j.state = 0 and j.queue = q.queue and j.rank = r.rank::smallint and j.claim is null
     order by j.seq limit 1) as head)
