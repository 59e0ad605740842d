-- Let one process at a time change the tables, until the transaction's end.
select pg_advisory_xact_lock(hashtext('penstock'), 0)
