-- In: worker, process. Out: key.
select key from penstock_holder where worker = ?1 and process = ?2
