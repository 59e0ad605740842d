-- The table of the batches that are in. Parameters: none.
create table if not exists penstock_ledger
(id bytea primary key, rows bigint not null, rejected bytea, at timestamptz not null default now())
