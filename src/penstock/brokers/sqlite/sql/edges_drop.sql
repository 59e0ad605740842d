-- A stage waits for nothing any more. In: the stage.
delete from penstock_edge where stage = ?1
