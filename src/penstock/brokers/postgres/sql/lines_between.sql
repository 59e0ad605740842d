-- When lines are due. In: since (the time of the last look), at (epoch seconds or null). Out: the time; seconds until the next is due, or null;
-- whether any has fallen due since; whether any is due.
with moment as materialized (
  select coalesce(%(at)s::float8, extract(epoch from clock_timestamp())::float8) as now
)
select now, (select min(due) from penstock.line where due > now) - now,
  exists (select from penstock.line where due > %(since)s::float8 and due <= now),
  exists (select from penstock.line where due <= now)
from moment
