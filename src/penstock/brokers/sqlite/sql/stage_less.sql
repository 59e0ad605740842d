-- A stage waits for one less. In: id.
update penstock_stage set open = open - 1 where id = ?1
