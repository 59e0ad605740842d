-- A batch's counters go when it has had no job for a day: see prune_batches.

alter table penstock_batch add column look_at real not null default 0;    -- when to see next whether it has any job left
-- The sum of its counters when it had none; null: it had some, or nobody has looked.
alter table penstock_batch add column seen integer;
create index penstock_batch_look on penstock_batch (look_at);
