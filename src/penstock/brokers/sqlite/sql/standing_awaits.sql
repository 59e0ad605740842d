-- The stages that a job waits for, in their order. In: its id. Out: name, how many have ended, how many there are.
select s.name, b.done + b.failed, b.total
from penstock_job j
join penstock_waiting w on w.seq = j.seq
join penstock_edge e on e.stage = w.stage
join penstock_stage s on s.id = e.batch
join penstock_batch b on b.id = e.batch
where j.id = ?1 order by s.position
