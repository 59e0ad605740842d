-- How many jobs of a queue are ready. In: queue. Out: count.
select count(*) from penstock_ready where queue = ?1
