-- Parked jobs of each task by their places, but for those that have a place in the order of their key; locked. In: queues or null, how many at most. Out: id, bytes of its payload, null.
select id, octet_length(payload), null::text from penstock.job
where state = 2 and waits is null
  and (%(queues)s::text[] is null
       or case when queue >= ',' and queue < '-' then split_part(queue, ',', 2) else queue end = any(%(queues)s))
order by task, seq
limit %(most)s
for update skip locked
