-- A result has left. In: its id.
delete from penstock_result where id = ?1
