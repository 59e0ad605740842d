-- The jobs of a queue that wait, ready or delayed. In: queue. Out: seq.
select seq from penstock_ready where queue = ?1
union all
select seq from penstock_ready where queue >= ',' || ?1 || ',' and queue < ',' || ?1 || '-'
union all
select d.seq from penstock_delayed d join penstock_job j on j.seq = d.seq
where j.queue = ?1 or (j.queue >= ',' || ?1 || ',' and j.queue < ',' || ?1 || '-')
