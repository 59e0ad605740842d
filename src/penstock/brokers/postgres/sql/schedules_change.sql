-- Change schedules that have the versions they are to have. In: names, befores (0: not to be there), versions (null: to be deleted), next_ats, bodies.
-- Out: the names of those that were changed.
with given as materialized (
  select * from unnest(%(names)s, %(befores)s, %(versions)s, %(next_ats)s, %(bodies)s) g (name, before, version, next_at, body)
), locked as materialized (
  -- In one order for everybody, so that no two wait for each other.
  select g.* from penstock.schedule s join given g on g.name = s.name and g.before = s.version order by s.name for update of s
), changed as (
  update penstock.schedule s set version = l.version, next_at = l.next_at, body = l.body
  from locked l where s.name = l.name and l.version is not null
  returning s.name
), removed as (
  delete from penstock.schedule s using locked l where s.name = l.name and l.version is null
  returning s.name
), added as (
  insert into penstock.schedule (name, version, next_at, body)
  select name, version, next_at, body from given where before = 0 and version is not null order by name
  on conflict do nothing
  returning name
)
select name from changed union all select name from removed union all select name from added
