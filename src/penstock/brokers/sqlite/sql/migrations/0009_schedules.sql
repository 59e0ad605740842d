-- Schedules: see penstock.brokers.schedules. A row changes only where its version is the one that was read.
create table penstock_schedule (
  name text primary key,
  version integer not null,    -- random, and another with each change
  next_at real,                -- when it is to be looked at (epoch seconds)
  body blob not null           -- msgpack of an Entry
) without rowid;
create index penstock_schedule_next on penstock_schedule (next_at) where next_at is not null;
