-- What the ledger has of jobs. Parameters: ids. Result: id, rejected.
select id, rejected from penstock_ledger where id = any(%(ids)s)
