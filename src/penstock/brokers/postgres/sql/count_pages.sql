-- How much there is to read. Out: pages of the jobs' table.
select pg_relation_size('penstock.job') / current_setting('block_size')::bigint
