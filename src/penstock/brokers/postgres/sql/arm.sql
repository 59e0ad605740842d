-- Be notified from now on. Out: the last place given to a job; where it has moved since `disarm`, work came in between.
select pg_advisory_lock_shared(hashtext('penstock'), 1)::text, (select last_value from penstock.place)
