-- How many jobs there are in each state, of all queues: each a count of a whole table, which SQLite takes from its pages.
-- Out: ready, running, delayed, parked, waiting, dead.
select jobs - running - delayed - parked - waiting - ended, running, delayed, parked, waiting, dead from (
  select (select count(*) from penstock_job) as jobs,
         (select count(*) from penstock_running) as running,
         (select count(*) from penstock_delayed) as delayed,
         (select count(*) from penstock_parked) as parked,
         (select count(*) from penstock_waiting) as waiting,
         (select count(*) from penstock_ended) as ended,
         (select count(*) from penstock_ended where state = 'dead') as dead)
