-- As upsert and add, where the key is not among the columns that are given: the table's defaults make it.
-- In braces: the table, the columns, the staging table, the key, what is set.
insert into {table} as penstock_there ({columns}) overriding system value
select {columns} from {staging} order by penstock_place
on conflict ({key}) do update set {sets}
