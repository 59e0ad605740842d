-- Notes which rows of jobs were refused, and takes jobs out of the ledger.
-- Parameters: ids and rejected, of one length; void, ids. Result: none.
with gone as (delete from penstock_ledger where id = any(%(void)s))
update penstock_ledger set rejected = given.rejected
from unnest(%(ids)s::bytea[], %(rejected)s::bytea[]) as given (id, rejected)
where penstock_ledger.id = given.id
