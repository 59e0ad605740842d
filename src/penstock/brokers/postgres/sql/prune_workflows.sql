-- Forget workflows that ended long ago; of the others, let the results of stages go, a day after the last has started that takes them. In: at (epoch seconds or
-- null), how many to look at, seconds until the next look, seconds for which one is kept that ended well, and one that did not. Out: a column of no meaning.
with due as (
  select f.id, n.now,
    exists (
      select from penstock.stage s join penstock.batch b on b.id = s.id
      where s.workflow = f.id
        and (s.ended_at is null or s.ended_at > n.now - make_interval(secs => %(done)s::float8)
             or (s.ended_at > n.now - make_interval(secs => %(failed)s::float8) and (s.state = 'cancelled' or b.failed > 0)))) as stays
  from penstock.workflow f, (select coalesce(penstock.moment(%(at)s::float8), clock_timestamp()) as now) as n
  where f.look_at <= n.now order by f.look_at limit %(most)s for update of f skip locked
), looked as (
  update penstock.workflow f set look_at = due.now + make_interval(secs => %(every)s::float8) from due where f.id = due.id and due.stays
), gone as (
  delete from penstock.workflow f using due where f.id = due.id and not due.stays returning f.id
), stages as (
  delete from penstock.stage s using gone where s.workflow = gone.id returning s.id
), taken as materialized (
  select t.id as stage, due.now, not due.stays or bool_and(s.state in ('started', 'skipped')) as over, max(s.started_at) as last
  from due join penstock.stage s on s.workflow = due.id cross join unnest(penstock.ids_of(s.takes)) as t (id)
  group by t.id, due.now, due.stays
), batches as (
  update penstock.batch b set look_at = '-infinity' from stages where b.id = stages.id
)
select penstock.let_go(array_agg(stage), array_agg(coalesce(last, now) + interval '1 day')) from taken where over
