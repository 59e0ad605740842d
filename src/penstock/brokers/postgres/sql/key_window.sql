-- Hold a unique key for a time, where nobody else does. In: key (the id under which it is kept), id of the new job, window (seconds), at (epoch seconds or null). Out: the id of
-- who holds it; no row where that was let go of just now: try again.
with moment as (
  select coalesce(penstock.moment(%(at)s::float8), clock_timestamp()) as now
), mine as (
  insert into penstock.result as r (id, value, expires_at)
  select %(key)s::uuid, %(id)s::bytea, penstock.moment(extract(epoch from now)::float8 + %(window)s::float8) from moment
  on conflict (id) do update set value = excluded.value, expires_at = excluded.expires_at
  where r.expires_at <= (select now from moment) or r.value = excluded.value
  returning value
)
select value from mine
union all
select value from penstock.result where id = %(key)s::uuid and not exists (select from mine)
