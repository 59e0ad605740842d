-- How many jobs of a queue are ready. In: queue. Out: count.
select (select count(*) from penstock_ready where queue = ?1)
  + (select count(*) from penstock_ready where queue >= ',' || ?1 || ',' and queue < ',' || ?1 || '-')
