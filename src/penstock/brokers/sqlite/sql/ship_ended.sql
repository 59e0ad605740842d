-- Jobs that have ended, by their age. In: JSON array of queues or null, how many at most. Out: seq.
select e.seq from penstock_ended e cross join penstock_job j on j.seq = e.seq
where ?1 is null or case when substr(j.queue, 1, 1) = ',' then substr(j.queue, 2, instr(substr(j.queue, 2), ',') - 1) else j.queue end in (select value from json_each(?1))
order by e.seq
limit ?2
