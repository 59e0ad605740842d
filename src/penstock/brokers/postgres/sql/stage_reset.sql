-- A stage that was cancelled waits again, with its jobs. In: id, after (ids). Out: how many jobs.
with reset as (
  update penstock.stage set state = 'waiting', open = cardinality(%(after)s::uuid[]), ended_at = null, reason = null
  where id = %(id)s::uuid and state = 'cancelled' returning id
), edges as (
  insert into penstock.edge (batch, stage) select a, r.id from reset r, unnest(%(after)s::uuid[]) as a on conflict do nothing
), again as (
  update penstock.job j set state = -1, attempt = 0, crashes = 0, ended_at = null, failure = null
  from reset r where j.batch = r.id and j.state >= 3 returning j.id
), counted as (
  update penstock.batch b set failed = b.total - (select count(*) from again) from reset r where b.id = r.id
)
select count(*) from again
