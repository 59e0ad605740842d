-- What changes whenever a table does, in columns, types, defaults or indexes.
-- Parameters: oid. Result: one row, a text; null when there is no such table any more.
select md5(
    (
        select string_agg(
            concat_ws(
                ',', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.atthasdef, a.attidentity, a.attgenerated
            ),
            ';' order by a.attnum
        )
        from pg_attribute a
        where a.attrelid = %(oid)s and a.attnum > 0 and not a.attisdropped
    ) || coalesce((select sum(i.indexrelid::bigint) from pg_index i where i.indrelid = %(oid)s), 0)
)
