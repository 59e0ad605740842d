-- The server and this session. Out: version number, version, in recovery, encoding, TLS, a Unix socket, clock (epoch seconds).
select current_setting('server_version_num')::int, current_setting('server_version'), pg_is_in_recovery(),
  current_setting('server_encoding'), coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false),
  inet_server_addr() is null or inet_server_addr() <<= '127.0.0.0/8' or inet_server_addr() = '::1',
  extract(epoch from clock_timestamp())::float8
