-- Takes jobs out of the ledger. Parameters: ids, joined ids of 16 bytes. Result: none.
with recursive given (place) as (
    -- Here and not by a statement for each id: sqlite3 gives up the interpreter's lock at every statement, and that took
    -- five times as long.
    select 1 where length(:ids) > 0
    union all
    select place + 16 from given where place + 16 <= length(:ids)
)
delete from penstock_ledger_jobs where id in (select substr(:ids, place, 16) from given)
