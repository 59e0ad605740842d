-- Takes out of the ledger what has been there for too long, of single jobs.
-- Parameters: oldest, an id; before, seconds since the epoch. Result: none.
-- An id begins with the time it was made, which is before it is entered. So the primary key finds them, and the ledger
-- needs no index by time.
delete from penstock_ledger
where id < %(oldest)s and length(id) = 16 and at < to_timestamp(%(before)s)
