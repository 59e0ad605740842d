-- Forget a schedule. In: name, the version it is to have been.
delete from penstock_schedule where name = ?1 and version = ?2
