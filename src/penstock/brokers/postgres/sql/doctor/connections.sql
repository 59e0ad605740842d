-- How many connections are open.
select count(*) from pg_stat_activity where backend_type = 'client backend'
