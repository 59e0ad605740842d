-- The stages of a workflow, in their order. In: its id. Out: id, name, state, rule, after, total, done, failed, retried, first, started_at, ended_at, reason.
-- The jobs of one that was cancelled before it started are not counted where they are stored.
select s.id, s.name, s.state, s.rule, s.after, b.total, b.done, case when s.state = 'cancelled' then b.total else b.failed end, b.retried, s.first,
       extract(epoch from s.started_at)::float8, extract(epoch from s.ended_at)::float8, s.reason
from penstock.stage s join penstock.batch b on b.id = s.id where s.workflow = %(id)s::uuid order by s.position
