-- In: a limited queue. Out: how many of its jobs run.
select count(*) from penstock_running where queue = ?1
