-- Every worker on the list. Out: info, seconds since its last sign of life, how many jobs it holds.
select w.info, extract(epoch from clock_timestamp() - w.beat)::float8,
       (select count(*) from penstock.lease l
        join penstock.job j on j.state = 0 and j.queue = l.queue and j.rank = l.rank and j.seq between l.first and l.last
                           and j.claim = l.claim
        where l.worker = w.id)
from penstock.worker w
order by w.id
