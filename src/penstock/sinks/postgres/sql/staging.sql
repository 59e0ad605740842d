-- A table of this session's own for rows on their way in, without the constraints of the one they go to.
-- In braces: its name, that of the table they go to, the columns.
-- Within each transaction and not once for a connection: a pooler may have changed the session behind it.
create temp table if not exists {staging} on commit delete rows
as select 0 as penstock_place, {columns} from {table} with no data
