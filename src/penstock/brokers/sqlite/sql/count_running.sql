-- Out: queue, count of running jobs.
select j.queue, count(*) from penstock_running r join penstock_job j on j.seq = r.seq group by j.queue
