-- Are the tables there? Asked of the catalogue: to_regclass may remember what was so before a lock was waited for. Out: true or false.
select exists (
  select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'penstock' and c.relname = 'meta')
