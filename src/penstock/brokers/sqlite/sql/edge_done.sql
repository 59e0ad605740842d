-- A stage no longer waits for a batch. In: the batch, the stage.
delete from penstock_edge where batch = ?1 and stage = ?2
