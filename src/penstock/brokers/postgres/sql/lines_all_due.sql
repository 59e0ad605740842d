-- Look at every line again.
update penstock.line set due = 0
where due > 0 and name in (select name from penstock.line order by name for update skip locked)
