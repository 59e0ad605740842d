-- Out: queue, count of ready jobs.
select queue, count(*) from penstock_ready group by queue
