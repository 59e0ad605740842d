-- In: a gate. Out: how many of its jobs run.
select count(*) from penstock_running where gate = ?1
