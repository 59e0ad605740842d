-- Lines that keep an order, and have a job with a place in it. In: queues or null, how many jobs to look at. Out: name.
select queue from (
  (select queue from penstock.job j
   where state = 0 and queue >= ',' and queue < '-' and penstock.is_ordered(queue)
     and (%(queues)s::text[] is null or split_part(queue, ',', 2) = any(%(queues)s))
     and not exists (select from penstock.lease l where l.queue = j.queue and penstock.is_ordered(l.queue))
   order by queue, rank, seq
   limit %(most)s)
  union all
  (select queue from penstock.job j
   where waits and (%(queues)s::text[] is null or split_part(queue, ',', 2) = any(%(queues)s))
     and not exists (select from penstock.lease l where l.queue = j.queue and penstock.is_ordered(l.queue))
   order by queue, seq
   limit %(most)s)
) as found
group by queue
order by queue
