-- Out: queue, count of jobs that wait for others.
select j.queue, count(*) from penstock_waiting w join penstock_job j on j.seq = w.seq group by j.queue
