-- Forget a line that is empty. In: name.
delete from penstock_line where name = ?1
