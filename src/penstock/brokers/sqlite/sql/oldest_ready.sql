-- Since when the oldest ready job has been ready, by the first of each queue and rank. In: JSON array of queues. Out: the time, or null.
select min(coalesce(j.ready_at, j.created_at))
from json_each(?1) as q, json_each('[0,1,2,3,4,5,6,7,8,9]') as p
join penstock_job j on j.seq = (
  select r.seq from penstock_ready r where r.queue = q.value and r.rank = p.value order by r.position, r.seq limit 1)
