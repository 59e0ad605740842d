-- Be told of jobs that end, from now on, as long as the connection lives.
select pg_advisory_lock_shared(hashtext('penstock'), 2)::text
