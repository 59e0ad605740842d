-- Out: the server's time, in epoch seconds.
select extract(epoch from clock_timestamp())::float8
