-- How many jobs of a queue are ready. In: queue. Out: count.
select count(*) from penstock.job where queue = %(queue)s and state = 0 and claim is null
