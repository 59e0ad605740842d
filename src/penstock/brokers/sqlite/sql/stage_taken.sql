-- One less is to take the results of a stage. In: its id.
update penstock_stage set wanted = wanted - 1 where id = ?1
