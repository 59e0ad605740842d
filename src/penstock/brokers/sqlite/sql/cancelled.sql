-- The running jobs of a worker that are to be cancelled. In: worker. Out: process, id.
select h.process, j.id
from penstock_holder h
join penstock_running r on r.holder = h.key and r.cancelled = 1
join penstock_job j on j.seq = r.seq
where h.worker = ?1
