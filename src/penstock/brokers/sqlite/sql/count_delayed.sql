-- Out: queue, count of delayed jobs.
select j.queue, count(*) from penstock_delayed d join penstock_job j on j.seq = d.seq group by j.queue
