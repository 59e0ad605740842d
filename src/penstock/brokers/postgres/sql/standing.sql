-- Where a ready job stands. In: id, most (jobs before it to count). Out: the stored queue, how many are before it, the first job of its line where that
-- keeps an order, the time (epoch seconds).
select j.queue,
  (select count(*) from (
     select from penstock.job b
     where b.state = 0 and b.queue = j.queue and (b.rank, b.seq) < (j.rank, j.seq) and (b.claim is null or penstock.is_ordered(j.queue))
     limit %(most)s) as before),
  case when penstock.is_ordered(j.queue) then
    (select b.id from (
       (select id, seq from penstock.job where state = 0 and queue = j.queue order by queue, rank, seq limit 1)
       union all
       (select id, seq from penstock.job where waits and queue = j.queue order by queue, seq limit 1)) as b order by b.seq limit 1) end,
  extract(epoch from clock_timestamp())::float8
from penstock.job j
where j.id = %(id)s::uuid and j.state = 0 and j.claim is null
