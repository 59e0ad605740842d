-- Out: queue, count of dead letters.
select j.queue, count(*) from penstock_ended e join penstock_job j on j.seq = e.seq where e.state = 'dead' group by j.queue
