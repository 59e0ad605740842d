-- Order per key. The jobs of a key have a line of their own, ",queue,=task,key", and stand in one order in it until they have ended. Of them the
-- ready set has the first, under the queue's own name, where it may start: no other of its key runs, and it is not delayed or parked.

-- The number of its line, which is short (see `line_number`), where it keeps an order; its place in that order, or 0 where it has none (not due
-- yet, or ended).
alter table penstock_job add column line integer;
alter table penstock_job add column turn integer;
create index penstock_job_turn on penstock_job (line, turn) where turn > 0;

alter table penstock_running add column line integer;
create index penstock_running_line on penstock_running (line) where line is not null;
