-- What workers have counted, in points of a few seconds: see penstock.core.metrics.

create table penstock_metrics (
  worker text not null,
  span integer not null,       -- seconds that points of this kind cover
  number integer not null,
  at real not null,            -- when those seconds ended (epoch seconds)
  point blob not null,         -- msgpack of a Point
  primary key (worker, span, number)
) without rowid;
create index penstock_metrics_at on penstock_metrics (span, at);
