-- Put the first of each line into the ready set, where it may start. All have one rank: priorities do not count among them. In: JSON array of the
-- numbers of lines.
insert or ignore into penstock_ready (queue, rank, position, seq)
select substr(j.queue, 2, instr(substr(j.queue, 2), ',') - 1), 4, j.turn, j.seq
from json_each(?1) as n
cross join penstock_job j on j.seq = (
  select f.seq from penstock_job f where f.line = n.value and f.turn > 0 order by f.turn limit 1)
where j.run_at is null
  and not exists (select 1 from penstock_running r where r.line = n.value)
  and not exists (select 1 from penstock_parked p where p.task = j.task and p.seq = j.seq)
