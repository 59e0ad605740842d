-- Store jobs, if no subscription has changed. In: version: the number of the last change that is known; the columns of jobs: see `store`.
-- Out: whether that was the last.
select case when v.value = %(version)s then penstock.store(
  %(ids)s, %(queues)s, %(ranks)s, %(tasks)s, %(payloads)s, %(options)s, %(attempts)s, %(batches)s, %(items)s, %(packed)s,
  %(item)s, %(keys)s, %(once)s, %(run_ats)s, %(delays)s, %(failures)s, %(dead)s, false, %(at)s::float8, false) is null else false end
from (select coalesce((select value from penstock.meta where name = 'subscriptions'), 0) as value) v
