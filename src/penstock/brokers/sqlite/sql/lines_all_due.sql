-- Look at every line again.
update penstock_line set due = 0 where due > 0
