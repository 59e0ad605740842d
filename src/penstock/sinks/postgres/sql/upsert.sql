-- Moves rows out of staging; of those with one key, the last. One that is there already takes the new values.
-- In braces: the table, the columns, the staging table, the key, what is set.
insert into {table} as penstock_there ({columns}) overriding system value
select distinct on ({key}, penstock_same) {columns}
from (
    -- One statement may not meet a row twice; but rows whose key is null are in nobody's way.
    select *, case when row({key}) is not null then 0 else penstock_place end as penstock_same from {staging}
) as placed
order by {key}, penstock_same, penstock_place desc
on conflict ({key}) do update set {sets}
