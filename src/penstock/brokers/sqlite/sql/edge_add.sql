-- A stage waits for a batch. In: the batch, the stage.
insert into penstock_edge (batch, stage) values (?1, ?2) on conflict do nothing
