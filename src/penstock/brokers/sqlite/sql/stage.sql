-- A stage and its counters. In: id. Out: name, state, total, done, failed, ended_at.
select s.name, s.state, b.total, b.done, b.failed, s.ended_at from penstock_stage s join penstock_batch b on b.id = s.id where s.id = ?1
