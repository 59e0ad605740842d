-- Takes jobs that have ended out of the ledger, and tells the version of a table.
-- In braces: the statement `version`. Parameters: ids, an array as text; oid. Result: that of `version`.
with gone as (delete from penstock_ledger_jobs where id = any(%(ids)s::uuid[]))
select ({version})
