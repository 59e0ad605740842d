-- Who gets the events of which topics: see penstock.core.topics.

create table penstock_subscription (
  grp text not null,
  task text not null,
  pattern text not null,
  -- How the handler's jobs are stored; the same for all of its patterns.
  queue text not null,
  priority integer not null,
  gate text,
  at_most_once integer not null,
  primary key (grp, task, pattern)
) without rowid;
