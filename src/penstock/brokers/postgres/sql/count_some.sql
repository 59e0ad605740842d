-- How many jobs of a queue are ready. In: queue, most. Out: count, at most so many.
select count(*) from (
  select from (
    select claim from penstock.job where state = 0 and queue = %(queue)s
    union all
    select claim from penstock.job where state = 0 and queue >= ',' || %(queue)s || ',' and queue < ',' || %(queue)s || '-') as its
  where claim is null limit %(most)s) as counted
