-- The table of the single jobs whose rows are in. Parameters: none.
create table if not exists penstock_ledger_jobs (id blob primary key, at real not null, rejected blob) without rowid
