-- Empties the staging table in braces.
delete from {staging}
