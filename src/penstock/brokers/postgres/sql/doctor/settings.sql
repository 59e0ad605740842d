-- Settings that a queue depends on. Out: fsync, full_page_writes, synchronous_commit, autovacuum, max_connections.
select current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
  current_setting('autovacuum'), current_setting('max_connections')::int
