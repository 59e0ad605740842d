-- The jobs at the head of a queue. In: queue, limit. Out: the columns of a lease, then rank and position.
select j.seq, j.id, j.task, j.payload, j.priority, j.attempt, j.crashes, j.options, j.batch, j.items, j.packed, j.item, j.at_most_once, r.rank, r.position
from penstock_ready r join penstock_job j on j.seq = r.seq
where r.queue = ?1
order by r.rank, r.position, r.seq
limit ?2
