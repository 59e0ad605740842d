-- Be notified from now on. Out: whether it is, and the next place for a job, which the first of all moves, too; where it has moved since `disarm`, work came in between.
select pg_advisory_lock_shared(hashtext('penstock'), 1)::text, (select last_value + is_called::int from penstock.place)
