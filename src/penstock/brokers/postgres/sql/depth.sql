-- How many jobs of a queue are ready. In: queue. Out: count.
select count(*) from penstock.job where (queue = %(queue)s or (queue >= ',' || %(queue)s || ',' and queue < ',' || %(queue)s || '-')) and state = 0 and claim is null
