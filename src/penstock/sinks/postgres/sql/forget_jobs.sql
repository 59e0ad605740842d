-- Takes jobs out of the ledger. In braces: ids, an array as text. Result: none.
delete from penstock_ledger_jobs where id = any('{ids}'::uuid[])
