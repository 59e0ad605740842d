-- The stages that a job waits for, in their order. In: its id. Out: name, how many have ended, how many there are.
select s.name, b.done + b.failed, b.total
from penstock.job j
join penstock.edge e on e.stage = j.batch
join penstock.stage s on s.id = e.batch
join penstock.batch b on b.id = e.batch
where j.id = %(id)s::uuid and j.state = -1 order by s.position
