-- Takes jobs out of the ledger. Parameters: ids. Result: none.
delete from penstock_ledger where id = any(%(ids)s)
