-- What a claim took. In: the lowest and the highest of the seqs, claim. Out: as leases_of, in the order of their seqs.
select j.queue, r.claim, j.seq, j.id, j.task, j.payload, j.priority, j.attempt, j.crashes, j.options, j.batch, j.items, j.packed, j.item, j.at_most_once
from penstock_running r join penstock_job j on j.seq = r.seq
where r.seq between ?1 and ?2 and r.claim = ?3
order by r.seq
