-- The schedules that are due, those first that have been so for longest. In: at (epoch seconds or null), most.
-- Out: for each the time, in how many seconds the next one is due that is not yet, name, version, next_at, body; where there is none, a row of nulls after these two.
with moment as materialized (select coalesce(%(at)s::float8, extract(epoch from clock_timestamp())::float8) as now)
select m.now, (select min(s.next_at) from penstock.schedule s where s.next_at > m.now) - m.now, d.*
from moment m left join lateral (
  select s.name, s.version, s.next_at, s.body from penstock.schedule s where s.next_at <= m.now order by s.next_at limit %(most)s
) d on true
order by d.next_at
