-- Lift a limit. In: name.
delete from penstock_limit where name = ?1
