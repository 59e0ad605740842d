-- Schedules: see penstock.brokers.schedules. A row changes only where its version is the one that was read.
create table penstock.schedule (
  name text collate "C" primary key,
  version bigint not null,           -- random, and another with each change
  next_at double precision,          -- when it is to be looked at (epoch seconds)
  body bytea not null                -- msgpack of an Entry
);
create index schedule_next on penstock.schedule (next_at) where next_at is not null;
