-- The columns of a table that can be written, in their order.
-- Parameters: oid.
-- Result: name, the name of its type (of a domain's, what the domain is made of), whether that is an enum, whether it
-- is an array, whether a default fills it, whether only the database may number it, its place in the primary key or
-- null.
with recursive base as (
    select a.attnum, a.atttypid as type
    from pg_attribute a
    where a.attrelid = %(oid)s and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    union all
    select base.attnum, t.typbasetype from base join pg_type t on t.oid = base.type where t.typtype = 'd'
)
select
    a.attname,
    t.typname,
    t.typtype = 'e',
    t.typcategory = 'A',
    a.atthasdef or a.attidentity <> '' or declared.typdefault is not null,
    a.attidentity = 'a',
    array_position(p.indkey::int2[], a.attnum)
from base
join pg_type t on t.oid = base.type and t.typtype <> 'd'
join pg_attribute a on a.attrelid = %(oid)s and a.attnum = base.attnum
join pg_type declared on declared.oid = a.atttypid
left join pg_index p on p.indrelid = a.attrelid and p.indisprimary
order by a.attnum
