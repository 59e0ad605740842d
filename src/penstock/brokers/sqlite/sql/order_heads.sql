-- As claim_select, where some of the jobs keep an order. In: queue, limit. Out: seq, turn, rank, position and the stored queue.
select j.seq, j.turn, r.rank, r.position, j.queue
from penstock_ready r join penstock_job j on j.seq = r.seq
where r.queue = ?1
order by r.rank, r.position, r.seq
limit ?2
