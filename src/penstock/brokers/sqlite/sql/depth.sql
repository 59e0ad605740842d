-- How many jobs of a queue are ready. In: queue. Out: count.
select (select count(*) from penstock_ready where queue = ?1)
  + (select count(*) from penstock_ready where queue >= ',' || ?1 || ',' and queue < ',' || ?1 || '-')
  + (select count(*) from penstock_job j
     where j.turn > 0 and j.queue >= ',' || ?1 || ',=' and j.queue < ',' || ?1 || ',>' and j.run_at is null
       and not exists (select 1 from penstock_ready r where r.queue = ?1 and r.rank = 4 and r.position = j.turn and r.seq = j.seq)
       and not exists (select 1 from penstock_running r where r.seq = j.seq)
       and not exists (select 1 from penstock_parked p where p.task = j.task and p.seq = j.seq))
