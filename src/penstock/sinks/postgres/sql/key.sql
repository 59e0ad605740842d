-- Fails where a table has no unique index on just these columns. In braces: the table, the columns. Result: of no use.
explain insert into {table} ({key}) select {key} from {table} on conflict ({key}) do nothing
