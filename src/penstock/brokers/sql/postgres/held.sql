-- The leases of one process. In: worker, process. Out: null, then as take.
select null::integer[], j.id, j.seq, j.claim, j.task, j.payload, j.queue, j.rank, j.attempt, j.crashes, j.options, j.batch, j.items, j.packed, j.item, j.at_most_once
from penstock.lease l
join penstock.job j on j.state = 0 and j.queue = l.queue and j.rank = l.rank and j.seq between l.first and l.last
                   and j.claim = l.claim
where l.worker = %(worker)s and l.process = %(process)s::integer
order by j.claim, j.rank, j.seq
