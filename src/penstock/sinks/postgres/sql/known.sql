-- What the ledger has of jobs. Parameters: ids, an array as text. Result: the bytes of the id, rejected.
select uuid_send(id), rejected from penstock_ledger_jobs where id = any(%(ids)s::uuid[])
