-- Limits of tasks and queues. The jobs of a limited task wait in a line of their own: their queue is then ",queue,gate", which no
-- queue can be called. A claim takes from the lines that are due.

-- What holds at the gates of a task, or of a queue (",queue").
create table penstock_limit (
  name text primary key,
  terms blob not null          -- msgpack of a Limit
) without rowid;

-- Until when what a gate let through is paid for, at the pace of its rate (epoch seconds).
create table penstock_gate (
  name text primary key,
  paid_until real not null
) without rowid;

-- The lines in which jobs may be ready, and the limited queues that are closed for now.
create table penstock_line (
  name text primary key,       -- as the queue of its jobs
  queue text not null,
  gate text not null,
  due real not null            -- when to look next (epoch seconds)
) without rowid;
create index penstock_line_due on penstock_line (due);
create index penstock_line_queue on penstock_line (queue, due);
create index penstock_line_gate on penstock_line (gate);

-- Set where they are limited, for counting how many run.
alter table penstock_running add column gate text;
alter table penstock_running add column queue text;
create index penstock_running_gate on penstock_running (gate) where gate is not null;
create index penstock_running_queue on penstock_running (queue) where queue is not null;
