-- For this transaction, have every statement see the table as the first one does.
set transaction isolation level repeatable read, read only
