-- The running jobs of a worker that are to be cancelled. In: worker. Out: process, id.
select l.process, j.id
from penstock.job j
join penstock.lease l on l.claim = j.claim and l.queue = j.queue and l.rank = j.rank
where j.cancelled and l.worker = %(worker)s
