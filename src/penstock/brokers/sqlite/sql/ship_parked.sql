-- Parked jobs of each task by their age, but for those that have a place in an order. In: JSON array of queues or null, how many at most. Out: seq.
select p.seq from penstock_parked p cross join penstock_job j on j.seq = p.seq
where coalesce(j.turn, 0) <= 0 and (?1 is null or case when substr(j.queue, 1, 1) = ',' then substr(j.queue, 2, instr(substr(j.queue, 2), ',') - 1) else j.queue end in (select value from json_each(?1)))
order by p.task, p.seq
limit ?2
