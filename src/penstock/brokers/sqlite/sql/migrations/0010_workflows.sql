-- Workflows: stages of jobs that wait for one another, see penstock.core.workflow. A stage is a batch.

create table penstock_workflow (
  id blob primary key,
  name text not null,
  created_at real not null,
  look_at real not null        -- when to see next whether it ended long ago (epoch seconds)
) without rowid;
create index penstock_workflow_look on penstock_workflow (look_at);

create table penstock_stage (
  id blob primary key,         -- of its batch
  workflow blob not null,
  position integer not null,   -- in its workflow; what it waits for comes before it
  name text not null,
  rule integer not null,
  state text not null,         -- waiting, started, cancelled or skipped
  open integer not null,       -- how many stages it still waits for
  after blob not null,         -- the ids of those that it waits for at first, 16 bytes each
  takes blob not null,         -- the ids of those whose results its jobs take, 16 bytes each, in order
  wanted integer not null,     -- how many stages take its results and have not started
  first blob,                  -- the id of its first job
  started_at real,             -- epoch seconds, as all times here
  ended_at real,
  reason text                  -- why it was cancelled
) without rowid;
create unique index penstock_stage_workflow on penstock_stage (workflow, position);
create index penstock_stage_open on penstock_stage (workflow) where ended_at is null;

-- Who still waits for which batch.
create table penstock_edge (
  batch blob not null,
  stage blob not null,
  primary key (batch, stage)
) without rowid;
create index penstock_edge_stage on penstock_edge (stage);

-- The jobs of stages that have not started.
create table penstock_waiting (
  seq integer primary key,
  stage blob not null,
  delay real                   -- seconds from the stage's start
);
create index penstock_waiting_stage on penstock_waiting (stage);

-- The stage whose result it is, where another takes it: until that has started it is kept.
alter table penstock_result add column batch blob;
create index penstock_result_batch on penstock_result (batch, id) where batch is not null;

drop view penstock_record;
create view penstock_record as
select j.*, e.at as ended_at, h.worker, h.process,
       case when e.seq is not null then e.state
            when r.seq is not null then 'running'
            when p.seq is not null then 'parked'
            when w.seq is not null then 'waiting'
            when j.run_at is not null then 'delayed'
            else 'ready' end as state
from penstock_job j
left join penstock_ended e on e.seq = j.seq
left join penstock_running r on r.seq = j.seq
left join penstock_holder h on h.key = r.holder
left join penstock_parked p on p.task = j.task and p.seq = j.seq
left join penstock_waiting w on w.seq = j.seq;
