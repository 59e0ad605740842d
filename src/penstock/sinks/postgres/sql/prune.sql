-- Takes out of the ledger the jobs that have been there for too long.
-- Parameters: oldest, an id as text; before, seconds since the epoch. Result: none.
-- An id begins with the time it was made, which is before it is entered. So the primary key finds them, and the ledger
-- needs no index by time.
delete from penstock_ledger_jobs where id < %(oldest)s::uuid and at < to_timestamp(%(before)s)
