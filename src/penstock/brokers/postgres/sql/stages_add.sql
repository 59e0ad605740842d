-- Store stages, with their counters. In: workflow, a column of the stages each, at (epoch seconds or null).
with counted as (
  insert into penstock.batch (id, total, done, failed, retried, look_at)
  select id, total, 0, 0, 0, 'infinity' from unnest(%(ids)s, %(totals)s) as x (id, total)
)
insert into penstock.stage (id, workflow, position, name, rule, state, open, after, takes, first, started_at)
select x.id, %(workflow)s::uuid, x.n, x.name, x.rule, case when x.open > 0 then 'waiting' else 'started' end, x.open, x.after, x.takes, x.first,
       case when x.open = 0 then coalesce(penstock.moment(%(at)s::float8), clock_timestamp()) end
from unnest(%(ids)s, %(names)s, %(rules)s, %(opens)s, %(afters)s, %(takes)s, %(firsts)s) with ordinality as x (id, name, rule, open, after, takes, first, n)
