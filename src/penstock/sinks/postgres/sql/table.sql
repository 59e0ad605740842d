-- The table that a name stands for: as it is, wherever the search path finds it, or schema.table.
-- Parameters: name, the part before its first dot, the part after it.
-- Result: one row or none: oid, schema, name, whether it can be locked (it is no view or foreign table), whether one of
-- its constraints can wait for the end of the transaction, whether a row can be in conflict with another, whether COPY
-- can write it.
select
    c.oid::bigint,
    n.nspname,
    c.relname,
    c.relkind in ('r', 'p'),
    exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgdeferrable)
    or exists (select from pg_constraint k where k.conrelid = c.oid and k.condeferrable),
    exists (select from pg_index i where i.indrelid = c.oid and (i.indisunique or i.indisexclusion)),
    c.relkind <> 'v' and not row_security_active(c.oid)
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'f')
and (
    (c.relname = %(name)s and pg_table_is_visible(c.oid))
    or (n.nspname = %(schema)s and c.relname = %(table)s)
)
order by c.relname = %(name)s desc
limit 1
