-- Jobs and where they stand. In: ids (in that order they come back). Out: the columns of a JobRecord.
select j.id, j.task, j.queue, 9 - j.rank, j.state, j.claim is not null, j.attempt, j.crashes,
       extract(epoch from j.created_at)::float8, j.payload, j.items, j.packed, j.item, j.batch, j.uniq,
       extract(epoch from j.run_at)::float8, extract(epoch from j.ended_at)::float8, j.failure, l.worker, l.process
from penstock.job j
left join penstock.lease l on l.claim = j.claim and l.queue = j.queue and l.rank = j.rank
where j.id = any(%(ids)s)
order by j.id
