-- The holders of a worker. In: worker. Out: key.
select key from penstock_holder where worker = ?1
