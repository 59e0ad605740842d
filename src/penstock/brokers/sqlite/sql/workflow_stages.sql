-- The stages of a workflow, in their order. In: its id. Out: id, name, state, rule, after, total, done, failed, retried, first, started_at, ended_at, reason.
select s.id, s.name, s.state, s.rule, s.after, b.total, b.done, b.failed, b.retried, s.first, s.started_at, s.ended_at, s.reason
from penstock_stage s join penstock_batch b on b.id = s.id where s.workflow = ?1 order by s.position
