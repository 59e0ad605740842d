-- Jobs on their way between stores: see penstock.brokers.transfer.

-- What has left here, and was not discarded.
create table penstock_shipment (
  number integer primary key autoincrement,    -- grows, and is never given twice: they arrive in this order
  bound_for blob not null,     -- the name of the store that it is bound for
  body blob not null           -- msgpack of a Shipment
);

-- What has arrived here.
create table penstock_arrival (
  id blob primary key,
  settled_at real              -- since when it is known that it was discarded where it came from (epoch seconds)
) without rowid;
create index penstock_arrival_settled on penstock_arrival (settled_at) where settled_at is not null;

-- What went where, for who asks here.
create table penstock_moved (
  ids blob not null,           -- of jobs and batches, 16 bytes each
  place text not null,         -- as it may be shown
  at real not null             -- when (epoch seconds)
);
create index penstock_moved_at on penstock_moved (at);

-- name: 16 random bytes that no other store has.
create table penstock_note (
  name text primary key,
  value blob not null
) without rowid;
