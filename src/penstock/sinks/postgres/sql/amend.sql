-- Notes which rows of jobs were refused, and takes jobs out of the ledger.
-- Parameters: ids, an array as text, and rejected, of one length; void, as ids. Result: none.
with gone as (delete from penstock_ledger_jobs where id = any(%(void)s::uuid[]))
update penstock_ledger_jobs set rejected = given.rejected
from unnest(%(ids)s::uuid[], %(rejected)s::bytea[]) as given (id, rejected)
where penstock_ledger_jobs.id = given.id
