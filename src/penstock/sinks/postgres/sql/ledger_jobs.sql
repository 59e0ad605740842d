-- The table of the single jobs whose rows are in. Parameters: none.
create table if not exists penstock_ledger_jobs
(id uuid primary key, at timestamptz not null default now(), rejected bytea)
