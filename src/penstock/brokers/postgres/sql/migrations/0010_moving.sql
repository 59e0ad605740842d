-- Jobs on their way between stores: see penstock.brokers.transfer.

-- What has left here, and was not discarded. They arrive in the order of their numbers: whoever adds one locks the table first.
create table penstock.shipment (
  number bigint generated always as identity primary key,
  bound_for bytea not null,        -- the name of the store that it is bound for
  body bytea not null              -- msgpack of a Shipment
);

-- What has arrived here.
create table penstock.arrival (
  id uuid primary key,
  settled_at timestamptz           -- since when it is known that it was discarded where it came from
);

-- What went where, for who asks here.
create table penstock.moved (
  ids bytea not null,              -- of jobs and batches, 16 bytes each
  place text collate "C" not null, -- as it may be shown
  at timestamptz not null
);

-- name: 16 random bytes that no other store has.
create table penstock.note (
  name text collate "C" primary key,
  value bytea not null
);
