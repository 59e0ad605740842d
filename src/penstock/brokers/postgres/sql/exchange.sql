-- End leases, tell those who wait for that, then take jobs. In: as finish and take. Out: the numbers of outcomes that came too late, and the jobs (one row
-- of nulls where there is none).
select f.stale, t.*
from (select set_config('workflow.at', coalesce(%(at)s::float8::text, ''), true) as at offset 0) as clock
cross join lateral (select penstock.finish(
  %(ids)s, %(claims)s, %(endings)s, %(delays)s, %(results)s, %(ttls)s, %(failures)s, %(payloads)s, %(items)s,
  %(step_of)s, %(step_batches)s, %(step_done)s, %(step_failed)s, %(step_retried)s, %(step_total)s, %(spent)s, nullif(clock.at, '')::float8)
  as stale, penstock.tell_ended(%(ids)s)) as f
left join lateral penstock.take(
  %(queues)s, %(ranks)s, %(lows)s, %(most)s::integer, %(worker)s, %(process)s::integer, %(doubt)s::bigint, %(interrupted)s, %(at)s::float8, f.stale)
  as t on true
