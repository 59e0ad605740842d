-- How many entries of the ready set are of a queue and its lines. In: queue, how many to count. Out: count.
select count(*) from (
  select 1 from penstock_ready where queue = ?1
  union all
  select 1 from penstock_ready where queue >= ',' || ?1 || ',' and queue < ',' || ?1 || '-'
  limit ?2)
