-- The leases of a holder. In: the holder's key. Out: queue, claim, seq, id, task, payload, priority, attempt, crashes, options, batch, items, packed, item, at_most_once.
select j.queue, r.claim, j.seq, j.id, j.task, j.payload, j.priority, j.attempt, j.crashes, j.options, j.batch, j.items, j.packed, j.item, j.at_most_once
from penstock_running r join penstock_job j on j.seq = r.seq
where r.holder = ?1
order by r.claim, 9 - j.priority, coalesce(j.position, j.seq), j.seq
