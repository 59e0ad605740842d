-- Out: the number of the last migration run.
select coalesce((select value from penstock_meta where name = 'schema'), 0)
