-- Takes out of the ledger the jobs that have been there for too long.
-- Parameters: oldest, an id; before, seconds since the epoch. Result: none.
-- An id begins with the time it was made, which is before it is entered. So the primary key finds them, and the ledger
-- needs no index by time.
delete from penstock_ledger_jobs where id < :oldest and at < :before
