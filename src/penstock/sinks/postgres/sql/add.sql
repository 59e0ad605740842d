-- Moves rows out of staging; those of one key as one, with the sums of their numbers, and the last of their other values.
-- In braces: the table, the columns, the staging table, the key, the columns or their sums, what is set.
insert into {table} as penstock_there ({columns}) overriding system value
select distinct on ({key}, penstock_same) {columns}
from (
    select {summed}, penstock_same, penstock_place
    from (
        -- One statement may not meet a row twice; but rows whose key is null are in nobody's way.
        select *, case when row({key}) is not null then 0 else penstock_place end as penstock_same from {staging}
    ) as placed
    window alike as (partition by {key}, penstock_same)
) as together
order by {key}, penstock_same, penstock_place desc
on conflict ({key}) do update set {sets}
