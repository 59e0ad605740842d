-- Out: queue, count of parked jobs.
select j.queue, count(*) from penstock_parked p join penstock_job j on j.seq = p.seq group by j.queue
