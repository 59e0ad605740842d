-- The queue: one row for each job, written once and, when it is claimed, changed in place.
--
-- state: 0 in the ready set (a job that runs stays in it, marked by its claim), 1 delayed, 2 parked, 3 dead, 4 cancelled.
-- A claim changes one column that no index has, and each page keeps room for that: so it writes no index at all (a HOT update).

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
  failure bytea                    -- msgpack [kind, message, traceback] of the last failed attempt
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
  retried bigint not null
) with (fillfactor = 50);

-- schema: the last migration run. oldest: the least that a version of Penstock must know to work with these tables.
create table penstock.meta (
  name text collate "C" primary key,
  value bigint not null
);
insert into penstock.meta values ('oldest', 0);

-- Each job and where it stands, for people.
create view penstock.jobs as
select j.id, j.task, j.queue, 9 - j.rank as priority,
       case j.state when 0 then case when j.claim is null then 'ready' else 'running' end
                    when 1 then 'delayed' when 2 then 'parked' when 3 then 'dead' else 'cancelled' end as state,
       j.attempt, j.crashes, j.items, j.batch, j.uniq, j.created_at, j.run_at, j.ended_at, l.worker, l.process
from penstock.job j
left join penstock.lease l on l.claim = j.claim and l.queue = j.queue and l.rank = j.rank;
