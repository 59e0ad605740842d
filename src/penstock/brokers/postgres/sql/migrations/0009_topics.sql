-- Who gets the events of which topics: see penstock.core.topics. Each change sets the number `subscriptions` in penstock.meta,
-- by which a publisher knows whether what it has read still holds.

create table penstock.subscription (
  grp text collate "C" not null,
  task text collate "C" not null,
  pattern text collate "C" not null,
  -- How the handler's jobs are stored; the same for all of its patterns.
  queue text not null,
  priority smallint not null,
  gate text,
  at_most_once boolean not null,
  primary key (grp, task, pattern)
);
