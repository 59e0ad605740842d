-- Take jobs from the beginning, unless somebody else does just now: behind much that is dead that takes long, and what comes meanwhile is for whoever is not at it.
-- In: as take. Out: as take; where somebody else does, one row that says that much lies before the first job.
-- How many to take comes from the lock as well: the function can't be called before it is known whether it is to be.
with sweep as materialized (select pg_try_advisory_xact_lock(hashtext('penstock'), 3) as alone)
select null::integer[], t.* from sweep cross join lateral penstock.take(
  %(queues)s, %(ranks)s, %(lows)s, %(most)s::integer * alone::integer, %(worker)s, %(process)s::integer, %(doubt)s::bigint, %(interrupted)s,
  %(at)s::float8, null) as t
where alone
union all
select null, null, 0, null, null, null, null, null, null, null, null, null, null, null, null, null from sweep where not alone
