-- Out: queue, count of ready jobs.
select queue, count(*) from penstock_ready group by queue
union all
select j.queue, count(*) from penstock_job j
where j.turn > 0 and j.run_at is null
  and not exists (
    select 1 from penstock_ready r
    where r.queue = substr(j.queue, 2, instr(substr(j.queue, 2), ',') - 1) and r.rank = 4 and r.position = j.turn and r.seq = j.seq)
  and not exists (select 1 from penstock_running r where r.seq = j.seq)
  and not exists (select 1 from penstock_parked p where p.task = j.task and p.seq = j.seq)
group by j.queue
