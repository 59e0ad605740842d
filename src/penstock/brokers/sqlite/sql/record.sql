-- A job and where it stands. In: id. Out: the columns of a JobRecord.
select id, task, queue, priority, state, attempt, crashes, created_at, payload, items, packed, item, batch, uniq, run_at, ended_at, failure, worker, process
from penstock_record where id = ?1
