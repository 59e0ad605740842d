-- Notes which rows of a job were refused. Parameters: id, rejected. Result: none.
update penstock_ledger_jobs set rejected = :rejected where id = :id
