-- Store a workflow, unless it is stored. In: id, title, at (epoch seconds or null). Out: a row where it was not.
insert into penstock.workflow (id, name, created_at, look_at)
select %(id)s::uuid, %(title)s::text, now, now from (select coalesce(penstock.moment(%(at)s::float8), clock_timestamp()) as now) as n
on conflict do nothing
returning true
