-- Enters jobs in the ledger; one that is there fails all.
-- Parameters: ids, joined ids of 16 bytes; at, seconds since the epoch. Result: none.
with recursive given (place) as (
    -- Here and not by a statement for each id: sqlite3 gives up the interpreter's lock at every statement, and that took
    -- five times as long.
    select 1 where length(:ids) > 0
    union all
    select place + 16 from given where place + 16 <= length(:ids)
)
insert into penstock_ledger_jobs (id, at) select substr(:ids, place, 16), :at from given
