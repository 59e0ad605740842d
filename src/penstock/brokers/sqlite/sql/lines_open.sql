-- The names under which jobs of some queues are ready that may start: the queues and their lines, but for those that are closed.
-- In: JSON array of queues, now, how many lines to look at. Out: name.
select q.value from json_each(?1) as q where not exists (select 1 from penstock_line l where l.name = q.value and l.due > ?2)
union all
select name from (
  select l.name from json_each(?1) as q join penstock_line l on l.queue = q.value and l.due <= ?2 and l.name <> l.queue limit ?3)
