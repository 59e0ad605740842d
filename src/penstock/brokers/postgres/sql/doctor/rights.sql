-- What this user may not do with the tables of a schema. In: schema. Out: a row for each right that is missing.
select c.relname, r.name
from pg_class c join pg_namespace n on n.oid = c.relnamespace,
  unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as r(name)
where n.nspname = %(schema)s and c.relkind in ('r', 'p') and not has_table_privilege(c.oid, r.name)
order by 1, 2
