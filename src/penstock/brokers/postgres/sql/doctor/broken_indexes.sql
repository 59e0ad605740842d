-- Indexes of a schema that the server does not use. In: schema. Out: their names.
select c.relname
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %(schema)s and not (i.indisvalid and i.indisready)
order by 1
