-- Be notified of nothing, since nobody is idle. Out: whether it was armed, and the next place for a job.
select pg_advisory_unlock_shared(hashtext('penstock'), 1), (select last_value + is_called::int from penstock.place)
