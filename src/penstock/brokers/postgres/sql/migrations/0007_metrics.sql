-- What workers have counted, in points of a few seconds: see penstock.core.metrics.

create table penstock.metrics (
  worker text collate "C" not null,
  span integer not null,           -- seconds that points of this kind cover
  number integer not null,
  at float8 not null,              -- when those seconds ended (epoch seconds)
  point bytea not null,            -- msgpack of a Point
  primary key (worker, span, number)
);
create index metrics_at on penstock.metrics (span, at);
