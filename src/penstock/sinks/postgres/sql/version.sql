-- What changes whenever a table does, in columns, types, defaults or indexes: who wrote its columns' catalogue rows last.
-- In braces: oid. Result: one row, a text; that of no other table when there is no such table any more.
-- Asked in every transaction of a sink: the fewer functions and catalogues it names, the less there is to plan.
select md5(concat(
    (select string_agg(xmin::text, ',' order by attnum) from pg_attribute where attrelid = {oid} and attnum > 0),
    '/',
    (select sum(indexrelid::bigint) from pg_index where indrelid = {oid})
))
