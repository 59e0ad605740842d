-- Enters jobs in the ledger, but those that are in it, and takes out others.
-- In braces: the statement `version`. Parameters: oid; ids and ended, joined ids of 16 bytes; at, null for now.
-- Result: one row: what `version` gives, the joined ids of the jobs that were new, or null when all were.
-- Another transaction that enters one of them is waited for. All do so in the order of the ids, so that none waits for
-- one that waits for it.
with given as (
    select substr(%(ids)s, 16 * place + 1, 16) as id, count(*) as rows
    from generate_series(0, length(%(ids)s) / 16 - 1) as place
    group by 1
),
gone as (
    delete from penstock_ledger
    where id in (
        select substr(%(ended)s, 16 * place + 1, 16) from generate_series(0, length(%(ended)s) / 16 - 1) as place
    )
),
entered as (
    insert into penstock_ledger (id, rows, at)
    select id, rows, coalesce(to_timestamp(%(at)s), now()) from given order by id
    on conflict (id) do nothing
    returning id
)
select
    ({version}),
    case when count(*) < (select count(*) from given) then coalesce(string_agg(id, ''::bytea), ''::bytea) end
from entered
