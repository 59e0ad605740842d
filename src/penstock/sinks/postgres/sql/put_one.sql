-- Writes one row where the table has its shape and the query gives null. One statement, so that all of it is done or nothing.
-- In braces: the table, the columns, their values; the query of what is to be done with it; the statement of the version.
-- Parameters: version, and those of values and query. Result: none; one row has changed or none.
with done as materialized (
    -- In a case, as only that says what is done before what: the shape does not change any more when the table is locked.
    select case when ({version}) = %(version)s then ({query}) is null else false end as is_fine
)
insert into {table} ({columns}) overriding system value
select {values} from done where is_fine
