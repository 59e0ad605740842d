-- What is limited, and the lines of some queues that are due. In: queues, at (epoch seconds or null), most (lines). Out: the time; name, and
-- either its terms, or the queue, the gate and since when it has been empty.
with moment as materialized (
  select coalesce(%(at)s::float8, extract(epoch from clock_timestamp())::float8) as now
)
select now, l.name, l.terms, null::text, null::text, null::float8 from moment, penstock.limits l
union all
(select now, l.name, null, l.queue, l.gate, l.idle_since from moment, penstock.line l
 where l.queue = any(%(queues)s) and l.name <> l.queue and l.due <= now
 order by l.due limit %(most)s::integer)
