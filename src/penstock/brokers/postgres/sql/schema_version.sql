-- Out: name and value of what is noted about the tables.
select name, value from penstock.meta
