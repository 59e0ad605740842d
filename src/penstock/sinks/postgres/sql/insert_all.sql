-- Moves rows out of staging into a table that COPY can't write.
-- In braces: the table, the columns, the staging table.
insert into {table} ({columns}) overriding system value
select {columns} from {staging} order by penstock_place
