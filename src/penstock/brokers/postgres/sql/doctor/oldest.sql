-- What keeps dead rows from being vacuumed away: the oldest of each kind. Out: kind, whose it is, its age in seconds or null.
(select 'a transaction', coalesce(nullif(application_name, ''), usename, '?') || ', pid ' || pid,
  extract(epoch from clock_timestamp() - xact_start)::float8
from pg_stat_activity
where backend_xmin is not null and pid <> pg_backend_pid() and backend_type = 'client backend'
order by xact_start limit 1)
union all
(select 'a prepared transaction', gid, extract(epoch from clock_timestamp() - prepared)::float8
from pg_prepared_xacts order by prepared limit 1)
union all
(select 'a replication slot', slot_name, null
from pg_replication_slots where not active and (xmin is not null or catalog_xmin is not null) limit 1)
