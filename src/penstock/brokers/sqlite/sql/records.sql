-- Jobs and where they stand, in the order of their ids. In: JSON array of seqs. Out: the columns of a JobRecord.
select id, task, queue, priority, state, attempt, crashes, created_at, payload, items, packed, item, batch, uniq, run_at, ended_at, failure, worker, process
from penstock_record where seq in (select value from json_each(?1)) order by id
