-- The queue: a job's row is written once and read once; where it stands is told by the one other table that holds
-- its seq (ready, running, delayed, parked or ended). A claim then moves a range of short keys and leaves the rows alone.

create table penstock_job (
  seq integer primary key,
  id blob not null unique,
  queue text not null,
  priority integer not null,
  position integer,            -- its place in the ready set, where that is no longer its seq
  task text not null,
  payload blob not null,
  options blob,
  attempt integer not null,
  crashes integer not null default 0,
  batch blob,
  items integer not null,
  packed integer not null,
  item integer,
  uniq text,
  at_most_once integer not null,
  run_at real,
  created_at real not null,
  failure blob                 -- msgpack [kind, message, traceback] of the last failed attempt
);
create unique index penstock_job_uniq on penstock_job (uniq) where uniq is not null;
create index penstock_job_batch on penstock_job (batch, item) where batch is not null;

create table penstock_ready (
  queue text not null,
  rank integer not null,       -- 9 - priority, so that one ascending scan meets the higher priorities first
  position integer not null,
  seq integer not null,
  primary key (queue, rank, position, seq)
) without rowid;

create table penstock_running (
  seq integer primary key,
  holder integer not null,
  claim integer not null
);

create table penstock_delayed (
  run_at real not null,
  seq integer not null,
  primary key (run_at, seq)
) without rowid;

create table penstock_parked (
  task text not null,
  seq integer not null,
  primary key (task, seq)
) without rowid;

create table penstock_ended (
  seq integer primary key,
  state text not null,         -- dead or cancelled
  at real not null
);

create table penstock_result (
  id blob primary key,
  value blob not null,
  expires_at real not null
) without rowid;
create index penstock_result_expiry on penstock_result (expires_at);

create table penstock_batch (
  id blob primary key,
  total integer not null,
  done integer not null,
  failed integer not null,
  retried integer not null
) without rowid;

create table penstock_worker (
  id text primary key,
  info blob not null,          -- msgpack of a WorkerInfo
  beat real not null,          -- on the machine's monotonic clock
  socket text
) without rowid;

-- Never reuses a key: a process that was given up for dead may still hold an old one.
create table penstock_holder (
  key integer primary key autoincrement,
  worker text not null,
  process integer not null,
  since real not null,
  unique (worker, process)
);

create table penstock_meta (
  name text primary key,
  value integer not null
) without rowid;
insert into penstock_meta values ('claim', 0), ('place', 0);

-- Each job and where it stands.
create view penstock_record as
select j.*, e.at as ended_at, h.worker, h.process,
       case when e.seq is not null then e.state
            when r.seq is not null then 'running'
            when p.seq is not null then 'parked'
            when j.run_at is not null then 'delayed'
            else 'ready' end as state
from penstock_job j
left join penstock_ended e on e.seq = j.seq
left join penstock_running r on r.seq = j.seq
left join penstock_holder h on h.key = r.holder
left join penstock_parked p on p.task = j.task and p.seq = j.seq;
