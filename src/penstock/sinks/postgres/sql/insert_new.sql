-- Moves rows out of staging, but those that are in conflict with one that is there.
-- In braces: the table, the columns, the staging table, the key in parentheses or nothing.
insert into {table} ({columns}) overriding system value
select {columns} from {staging} order by penstock_place
on conflict {arbiter} do nothing
