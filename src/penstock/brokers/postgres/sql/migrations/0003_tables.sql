-- The queue: one row for each job, written once and, when it is claimed, changed in place.
--
-- state: 0 in the ready set (a job that runs stays in it, marked by its claim), 1 delayed, 2 parked, 3 dead, 4 cancelled.
-- A claim changes one column that no index has, and each page keeps room for that: so it writes no index at all (a HOT update).
--
-- The jobs of a limited task wait in a line of their own: their queue is then ",queue,gate", which no queue can be called. The jobs of a key
-- that keep their order have one, too, ",queue,=task,key", and one order in it: their places, in one rank.
--
-- Numbers begin at 3: the tables of versions before the first release had up to 8. With 8 they are these; with less they are refused.

do $$
begin
  -- "create schema if not exists" asks for the right to create one even where it is there.
  if not exists (select from pg_namespace where nspname = 'penstock') then
    create schema penstock;
  end if;
end
$$;

create sequence penstock.place;    -- positions in the ready set
create sequence penstock.claim;    -- numbers of claims, never given twice

-- The gate before which a line is; null for a queue.
create function penstock.gate_of(name text) returns text
language sql immutable strict parallel safe
as $$ select case when name ~ '^,[^,]*,' then substr(name, length(split_part(name, ',', 2)) + 3) end $$;

-- Does a line keep its order? Not strict, so that it is put in place where it is used.
create function penstock.is_ordered(line text) returns boolean
language sql immutable parallel safe
as $$ select line >= ',' and line < '-' and left(split_part(line, ',', 3), 1) = '=' $$;

create table penstock.job (
  id uuid not null,
  seq bigint not null default nextval('penstock.place'),
  queue text collate "C" not null,
  -- 9 - priority, so that one ascending scan meets the higher priorities first
  rank smallint not null check (rank between 0 and 9),
  state smallint not null,
  claim bigint,                    -- the claim that holds it, or null
  task text collate "C" not null,
  payload bytea not null,
  options bytea,
  attempt integer not null,
  crashes integer not null default 0,
  batch uuid,
  items integer not null,
  packed boolean not null,
  item bigint,
  uniq text collate "C",
  at_most_once boolean not null,
  run_at timestamptz,
  created_at timestamptz not null,
  ended_at timestamptz,
  failure bytea,                   -- msgpack [kind, message, traceback] of the last failed attempt
  cancelled boolean,               -- true where it runs and is to be cancelled
  ready_at timestamptz,            -- since when it has been ready, where that is not since it was made
  waits boolean                    -- true where it is delayed or parked and keeps its place: those behind it wait; null elsewhere
) with (
  fillfactor = 45,                 -- room for a second version of every row: 50 left 11 % of claims to write all indexes
  -- Most rows are dead within seconds: clean up by their number, and without pausing.
  autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_vacuum_insert_scale_factor = 1.0, autovacuum_vacuum_insert_threshold = 1000000
);
create unique index job_id on penstock.job (id);
create index job_ready on penstock.job (queue, rank, seq) where state = 0;
create index job_delayed on penstock.job (run_at) where state = 1;
create index job_parked on penstock.job (task) where state = 2;
create index job_ended on penstock.job (state, id) where state >= 3;
create unique index job_uniq on penstock.job (uniq) where uniq is not null;
create index job_batch on penstock.job (batch, item) where batch is not null;
create index job_cancelled on penstock.job (id) where cancelled;
create index job_waits on penstock.job (queue, seq) where waits;

-- What each claim took: its jobs are those of the queue and rank between two places that carry its number.
create table penstock.lease (
  claim bigint not null,
  queue text collate "C" not null,
  rank smallint not null,
  first bigint not null,
  last bigint not null,
  worker text collate "C" not null,
  process integer not null,
  taken_at timestamptz not null,
  primary key (claim, queue, rank)
) with (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
create index lease_worker on penstock.lease (worker, process);
create unique index lease_order on penstock.lease (queue) where penstock.is_ordered(queue);
create index lease_gate on penstock.lease (penstock.gate_of(queue)) where queue >= ',' and queue < '-' and not penstock.is_ordered(queue);

create table penstock.worker (
  id text collate "C" primary key,
  info bytea not null,             -- msgpack of a WorkerInfo
  beat timestamptz not null        -- on the server's clock
) with (fillfactor = 50);

create table penstock.result (
  id uuid primary key,
  value bytea not null,
  expires_at timestamptz not null
);
create index result_expiry on penstock.result (expires_at);

create table penstock.batch (
  id uuid primary key,
  total bigint not null,
  done bigint not null,
  failed bigint not null,
  retried bigint not null,
  look_at timestamptz not null default '-infinity',  -- when to see next whether it has any job left
  seen bigint                      -- the sum of its counters when it had none; null: it had some, or nobody has looked
) with (fillfactor = 50);
create index batch_look on penstock.batch (look_at);

-- What holds at the gates of a task, or of a queue (",queue").
create table penstock.limits (
  name text collate "C" primary key,
  terms bytea not null             -- msgpack of a Limit
);

-- Until when what a gate let through is paid for, at the pace of its rate.
create table penstock.gate (
  name text collate "C" primary key,
  paid_until float8 not null
) with (fillfactor = 50);

-- The lines in which jobs may be ready, and the limited queues that are closed for now. These are hints: an enqueuer in a long
-- transaction holds up nobody, and what it could not note is found when its line is looked at again.
create table penstock.line (
  name text collate "C" primary key,   -- as the queue of its jobs
  queue text collate "C" not null,
  gate text collate "C" not null,
  due float8 not null,                 -- when to look next
  idle_since float8                    -- since when it has been empty
) with (fillfactor = 50);
create index line_due on penstock.line (due);
create index line_queue on penstock.line (queue, due);
create index line_gate on penstock.line (gate);

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

-- schema: the last migration run. oldest: the least that a version of Penstock must know to work with these tables.
create table penstock.meta (
  name text collate "C" primary key,
  value bigint not null
);
insert into penstock.meta values ('oldest', 8);

-- Each job and where it stands, for people; the jobs of lines are told with their queue.
create view penstock.jobs as
select j.id, j.task, (case when penstock.gate_of(j.queue) is null then j.queue else split_part(j.queue, ',', 2) end) collate "C" as queue, 9 - j.rank as priority,
       case j.state when 0 then case when j.claim is null then 'ready' else 'running' end
                    when 1 then 'delayed' when 2 then 'parked' when 3 then 'dead' else 'cancelled' end as state,
       j.attempt, j.crashes, j.items, j.batch, j.uniq, j.created_at, j.run_at, j.ended_at, l.worker, l.process
from penstock.job j
left join penstock.lease l on l.claim = j.claim and l.queue = j.queue and l.rank = j.rank;
