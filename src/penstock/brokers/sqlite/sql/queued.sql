-- The jobs of a queue that wait, ready or delayed. In: queue. Out: seq.
select seq from penstock_ready where queue = ?1
union
select seq from penstock_ready where queue >= ',' || ?1 || ',' and queue < ',' || ?1 || '-'
union
select j.seq from penstock_job j
where j.queue >= ',' || ?1 || ',=' and j.queue < ',' || ?1 || ',>' and j.turn > 0
  and j.seq not in (select seq from penstock_running)
  and not exists (select 1 from penstock_parked p where p.task = j.task and p.seq = j.seq)
union
select d.seq from penstock_delayed d join penstock_job j on j.seq = d.seq
where j.queue = ?1 or (j.queue >= ',' || ?1 || ',' and j.queue < ',' || ?1 || '-')
