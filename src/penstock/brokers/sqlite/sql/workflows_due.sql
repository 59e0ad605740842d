-- The workflows to look at, and whether they ended long ago. In: now, how many, seconds for which one is kept that ended well, and one that did not.
-- Out: id, 1 where it may go.
select f.id, not exists (
  select 1 from penstock_stage s join penstock_batch b on b.id = s.id
  where s.workflow = f.id
    and (s.ended_at is null or s.ended_at > ?1 - ?3
         or (s.ended_at > ?1 - ?4 and (s.state = 'cancelled' or b.failed > 0))))
from penstock_workflow f where f.look_at <= ?1 order by f.look_at limit ?2
