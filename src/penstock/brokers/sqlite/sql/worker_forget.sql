-- Take a worker off the list. In: id.
delete from penstock_worker where id = ?1
