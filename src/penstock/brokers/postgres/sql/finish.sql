-- End leases, and tell those who wait for that. In: the columns of outcomes; see the function. Out: null, or the numbers of those that came too late.
select f.stale
from (select set_config('workflow.at', coalesce(%(at)s::float8::text, ''), true) as at offset 0) as clock
cross join lateral (select penstock.finish(
  %(ids)s, %(claims)s, %(endings)s, %(delays)s, %(results)s, %(ttls)s, %(failures)s, %(payloads)s, %(items)s,
  %(step_of)s, %(step_batches)s, %(step_done)s, %(step_failed)s, %(step_retried)s, %(step_total)s, %(spent)s, nullif(clock.at, '')::float8)
  as stale, penstock.tell_ended(%(ids)s)) as f
