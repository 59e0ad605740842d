-- Be notified of nothing, since nobody is idle. Out: whether it was armed, and the last place given to a job.
select pg_advisory_unlock_shared(hashtext('penstock'), 1), (select last_value from penstock.place)
