-- Stages wait for batches. In: batches, stages, side by side.
insert into penstock.edge (batch, stage) select * from unnest(%(batches)s, %(stages)s) on conflict do nothing
