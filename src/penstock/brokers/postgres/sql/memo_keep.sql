-- Keep memos of jobs whose leases are in force. In: columns: the memos' ids, the jobs' ids, claims, values, seconds to keep them; the time or null.
-- Out: the ids of those that are kept. The jobs are locked: none of them can be given back before this commits.
with held as materialized (
  select j.id, j.claim from penstock.job j
  where j.id = any(%(jobs)s) and j.claim = any(%(claims)s) order by uuid_send(j.id) for share
)
insert into penstock.result (id, value, expires_at)
select x.id, x.value, penstock.moment(extract(epoch from coalesce(penstock.moment(%(at)s::float8), clock_timestamp()))::float8 + x.ttl)
from unnest(%(ids)s, %(jobs)s, %(claims)s, %(memos)s, %(ttls)s) as x (id, job, claim, value, ttl)
join held on held.id = x.job and held.claim = x.claim
order by x.id
on conflict (id) do update set value = excluded.value, expires_at = excluded.expires_at
returning id
