-- Forget workflows that ended long ago. In: at (epoch seconds or null), how many to look at, seconds until the next look, seconds for which one is kept that
-- ended well, and one that did not.
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
), members as (
  delete from penstock.member m using stages where m.stage = stages.id
)
update penstock.batch b set look_at = '-infinity' from stages where b.id = stages.id
