-- Limits of tasks and queues. The jobs of a limited task wait in a line of their own: their queue is then ",queue,gate", which no
-- queue can be called. A claim takes from the lines that are due, under the locks of their gates. Times are in epoch seconds.
-- Whoever locks several takes jobs first, then gates, then lines, each in the order of their names.

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

-- The gate before which a line is; null for a queue.
create function penstock.gate_of(name text) returns text
language sql immutable strict parallel safe
as $$ select case when name ~ '^,[^,]*,' then substr(name, length(split_part(name, ',', 2)) + 3) end $$;

create index lease_gate on penstock.lease (penstock.gate_of(queue)) where queue >= ',' and queue < '-';

-- Jobs of these queues and lines are ready, or have ended: know the lines, and look at all before the same gates again, at a time that
-- puts them behind those that have waited longer.
create function penstock.look(_names text[], _due float8 default 0) returns void
language plpgsql
as $$
begin
  insert into penstock.line (name, queue, gate, due)
  select n, split_part(n, ',', 2), penstock.gate_of(n), _due
  from (select distinct n from unnest(_names) as n where penstock.gate_of(n) is not null order by n) as lines
  on conflict do nothing;
  update penstock.line set due = _due, idle_since = null
  where name in (
    select l.name from penstock.line l
    where l.due > _due and (
      l.gate in (select penstock.gate_of(n) from unnest(_names) as n)
      or l.queue in (
        select q from (select coalesce(nullif(split_part(n, ',', 2), ''), n) as q from unnest(_names) as n) as queues
        where exists (select from penstock.limits where limits.name = ',' || q)))
    order by l.name
    for update skip locked);
end
$$;

-- What is limited, and the lines of some queues that are due, the longest due first. In: queues, the time or null, how many lines.
-- Out: a row with the time; name and terms of each limit; name, queue, gate and since when it has been empty of each line.
create function penstock.limited(_queues text[], _at float8, _most integer) returns table (
  now float8, name text, terms bytea, queue text, gate text, idle_since float8
)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
declare
  _now constant float8 := coalesce(_at, extract(epoch from clock_timestamp())::float8);
begin
  return query select _now, null::text, null::bytea, null::text, null::text, null::float8;
  return query select null::float8, l.name, l.terms, null::text, null::text, null::float8 from penstock.limits l;
  return query
  select null::float8, l.name, null::bytea, l.queue, l.gate, l.idle_since from penstock.line l
  where l.queue = any(_queues) and l.name <> l.queue and l.due <= _now order by l.due limit _most;
end
$$;

-- Lock gates. In: names. Out: of each, until when it is paid for, and how many jobs run that passed it.
create function penstock.lock_gates(_names text[]) returns table (name text, paid_until float8, running bigint)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
begin
  insert into penstock.gate (name, paid_until) select n, 0 from unnest(_names) as n order by n on conflict do nothing;
  perform from penstock.gate g where g.name = any(_names) order by g.name for update;
  -- By a statement of its own, which sees what was committed while the locks were waited for.
  return query
  select g.name, g.paid_until,
    case when g.name like ',%' then
      (select coalesce(sum((
         select count(*) from penstock.job j
         where j.state = 0 and j.queue = l.queue and j.rank = l.rank and j.seq between l.first and l.last
           and j.claim = l.claim)), 0)::bigint
       from penstock.lease l
       where l.queue = substr(g.name, 2) or (l.queue >= g.name || ',' and l.queue < g.name || '-'))
    else
      (select coalesce(sum((
         select count(*) from penstock.job j
         where j.state = 0 and j.queue = l.queue and j.rank = l.rank and j.seq between l.first and l.last
           and j.claim = l.claim)), 0)::bigint
       from penstock.lease l
       where l.queue >= ',' and l.queue < '-' and penstock.gate_of(l.queue) = g.name)
    end
  from penstock.gate g
  where g.name = any(_names);
end
$$;

-- Take the heads of queues and lines, up to a number from each. In: names, numbers; worker, process; the time or null. Out: as take.
create function penstock.take_each(_names text[], _mosts integer[], _worker text, _process integer, _at float8) returns table (
  id uuid, seq bigint, claim bigint, task text, payload bytea, queue text, rank smallint, attempt integer,
  crashes integer, options bytea, batch uuid, items integer, packed boolean, item bigint, at_most_once boolean
)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off set enable_sort = off
as $$
#variable_conflict use_column
declare
  _now constant timestamptz := coalesce(penstock.moment(_at), clock_timestamp());
begin
  return query
  with number as materialized (
    select nextval('penstock.claim') as claim
  ), heads as materialized (
    select head.place
    from unnest(_names, _mosts) as w (queue, most)
    cross join lateral (
      select j.ctid as place from penstock.job j
      where j.state = 0 and j.queue = w.queue and j.claim is null
      order by j.rank, j.seq
      limit w.most
      for update skip locked) as head
  ), taken as (
    update penstock.job j set claim = number.claim from heads, number where j.ctid = heads.place
    returning j.id, j.seq, j.claim, j.task, j.payload, j.queue, j.rank, j.attempt, j.crashes, j.options, j.batch, j.items,
              j.packed, j.item, j.at_most_once
  ), noted as (
    insert into penstock.lease (claim, queue, rank, first, last, worker, process, taken_at)
    select t.claim, t.queue, t.rank, min(t.seq), max(t.seq), _worker, _process, _now
    from taken t group by t.claim, t.queue, t.rank
  )
  select * from taken;
end
$$;

-- Note what gates let through, and when to look at lines again. In: gates and until when they are paid for; lines with their
-- queues and gates, when they are due (null: a queue that is open), since when they have been empty; lines whose jobs have ended; the time.
create function penstock.note_gates(
  _gates text[], _paid_until float8[], _names text[], _queues text[], _before text[], _dues float8[], _idle float8[], _ended text[],
  _now float8
) returns void
language plpgsql
as $$
begin
  update penstock.gate g set paid_until = x.paid_until
  from unnest(_gates, _paid_until) as x (name, paid_until) where g.name = x.name;
  perform penstock.look(_ended, _now);
  insert into penstock.line (name, queue, gate, due)
  select x.name, x.queue, x.gate, x.due
  from unnest(_names, _queues, _before, _dues) as x (name, queue, gate, due) where x.due is not null order by x.name
  on conflict do nothing;
  with mine as (
    select name from penstock.line where name = any(_names) order by name for update skip locked
  ), gone as (
    delete from penstock.line l using unnest(_names, _dues) as x (name, due), mine
    where l.name = mine.name and l.name = x.name and x.due is null
  )
  update penstock.line l set due = x.due, idle_since = x.idle
  from unnest(_names, _dues, _idle) as x (name, due, idle), mine
  where l.name = mine.name and l.name = x.name and x.due is not null;
end
$$;

-- What is ready in some queues and may start. In: queues; how many to count; how many lines to look at; the time or null. Out: how many, and
-- for how many seconds the oldest has been ready (null: there is none).
create function penstock.backlog(_queues text[], _most integer, _lines integer, _at float8, out ready bigint, out waited float8)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off
as $$
declare
  _now constant float8 := coalesce(_at, extract(epoch from clock_timestamp())::float8);
  _names constant text[] := array(
    select q from unnest(_queues) as q where not exists (select from penstock.line l where l.name = q and l.due > _now)
    union all
    (select l.name from penstock.line l where l.queue = any(_queues) and l.name <> l.queue and l.due <= _now limit _lines));
begin
  select count(*) into ready from (
    select from unnest(_names) as n (name)
    cross join lateral (
      select from penstock.job j where j.state = 0 and j.queue = n.name and j.claim is null limit _most) as counted
    limit _most) as counted;
  select _now - extract(epoch from min(coalesce(head.ready_at, head.created_at)))::float8 into waited
  from unnest(_names) as n (name)
  cross join generate_series(0, 9) as r (rank)
  cross join lateral (
    select j.ready_at, j.created_at from penstock.job j
    where j.state = 0 and j.queue = n.name and j.rank = r.rank::smallint and j.claim is null
    order by j.seq limit 1) as head;
end
$$;

-- The leases of one process, oldest claims first. In: worker, process. Out: as take.
create function penstock.held(_worker text, _process integer) returns table (
  id uuid, seq bigint, claim bigint, task text, payload bytea, queue text, rank smallint, attempt integer,
  crashes integer, options bytea, batch uuid, items integer, packed boolean, item bigint, at_most_once boolean
)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
begin
  return query
  select j.id, j.seq, j.claim, j.task, j.payload, j.queue, j.rank, j.attempt, j.crashes, j.options, j.batch, j.items, j.packed, j.item,
         j.at_most_once
  from penstock.lease l
  join penstock.job j on j.state = 0 and j.queue = l.queue and j.rank = l.rank and j.seq between l.first and l.last
                     and j.claim = l.claim
  where l.worker = _worker and l.process = _process
  order by j.claim, j.rank, j.seq;
end
$$;

-- The running jobs of a worker that are to be cancelled. In: worker. Out: process, id.
create function penstock.cancelled(_worker text) returns table (process integer, id uuid)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
begin
  return query
  select l.process, j.id
  from penstock.job j
  join penstock.lease l on l.claim = j.claim and l.queue = j.queue and l.rank = j.rank
  where j.cancelled and l.worker = _worker;
end
$$;

-- Set limits, lift those whose terms are null, and know all lines. In: names, terms. Out: whether anything was changed.
create function penstock.declare(_names text[], _terms bytea[]) returns boolean
language plpgsql
as $$
declare
  _changed constant text[] := array(
    select x.name from unnest(_names, _terms) as x (name, terms) left join penstock.limits l on l.name = x.name
    where l.terms is distinct from x.terms);
begin
  if cardinality(_changed) = 0 then
    return false;
  end if;
  delete from penstock.limits l using unnest(_names, _terms) as x (name, terms) where l.name = x.name and x.terms is null;
  insert into penstock.limits (name, terms)
  select x.name, x.terms from unnest(_names, _terms) as x (name, terms) where x.terms is not null order by x.name
  on conflict (name) do update set terms = excluded.terms;
  -- A limit that has changed starts anew: what was paid for by the old one says nothing.
  delete from penstock.gate where name in (
    select g.name from penstock.gate g
    where exists (select from unnest(_changed) as n where g.name = n or (g.name >= n || ',' and g.name < n || '-'))
    order by g.name for update);
  update penstock.line set due = 0, idle_since = null
  where name in (select l.name from penstock.line l order by l.name for update skip locked);
  perform penstock.ring();
  return true;
end
$$;

-- Give back what a worker holds: all, or only the part of one process, and of that the claims after a number.
-- In: worker, process or null, claim, ids of the jobs that crashed, failure of what may not run twice, now. Out: how many jobs.
create or replace function penstock.give_back(
  _worker text, _process integer, _after bigint, _crashed uuid[], _interrupted bytea, _now timestamptz
) returns integer
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
declare
  _claims constant bigint[] := array(
    select claim from penstock.lease
    where worker = _worker and (_process is null or process = _process) and claim > _after);
  -- Rows are locked in the order of their ids, here and in every other place: nobody waits in a circle.
  _ids constant uuid[] := array(
    select j.id
    from penstock.lease l
    join penstock.job j on j.state = 0 and j.queue = l.queue and j.rank = l.rank and j.seq between l.first and l.last
                       and j.claim = l.claim
    where l.claim = any(_claims)
    order by j.id
    for update of j);
  _names constant text[] := array(select distinct queue from penstock.lease where claim = any(_claims));
begin
  if cardinality(_claims) = 0 then
    return 0;
  end if;
  with back as (
    update penstock.job j
    set claim = null,
        crashes = j.crashes + case when j.id = any(_crashed) then 1 else 0 end,
        attempt = j.attempt + case when j.at_most_once then 1 else 0 end,
        state = case when j.at_most_once then 3 when j.cancelled then 4 else 0 end,
        cancelled = null,
        uniq = case when not j.at_most_once and j.cancelled is null then j.uniq end,
        ended_at = case when j.at_most_once or j.cancelled then _now end,
        failure = case when j.at_most_once then _interrupted else j.failure end
    where j.id = any(_ids)
    returning j.state, j.batch, j.items
  )
  insert into penstock.batch as b (id, total, done, failed, retried)
  select batch, 0, 0, sum(items), 0 from back where state >= 3 and batch is not null group by batch order by batch
  on conflict (id) do update set failed = b.failed + excluded.failed;
  delete from penstock.lease where claim = any(_claims);
  perform penstock.look(_names);
  if cardinality(_ids) > 0 then
    perform penstock.ring();
  end if;
  return cardinality(_ids);
end
$$;

-- Make delayed jobs that are due ready, behind all others. In: the time or null, how many at most. Out: how many, and in
-- how many seconds the next one is due (null: there is none).
create or replace function penstock.promote(_at float8, _most integer, out moved integer, out next_in float8)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
declare
  _now constant timestamptz := coalesce(penstock.moment(_at), clock_timestamp());
  _next timestamptz;
  _names text[];
begin
  moved := 0;
  select j.run_at into _next from penstock.job j where j.state = 1 order by j.run_at limit 1;
  if _next <= _now then
    with due as materialized (
      select j.ctid as place from penstock.job j where j.state = 1 and j.run_at <= _now order by j.run_at limit _most
      for update skip locked
    ), changed as (
      update penstock.job j set state = 0, run_at = null, ready_at = _now, seq = nextval('penstock.place') from due where j.ctid = due.place
      returning j.queue
    )
    select count(*), array_agg(distinct queue) filter (where queue >= ',' and queue < '-') into moved, _names from changed;
    if _names is not null then
      perform penstock.look(_names);
    end if;
    select j.run_at into _next from penstock.job j where j.state = 1 order by j.run_at limit 1;
    if moved > 0 then
      perform penstock.ring();
    end if;
  end if;
  next_in := extract(epoch from _next)::float8 - coalesce(_at, extract(epoch from _now)::float8);
end
$$;

-- Make the parked jobs of tasks ready again, where they were. In: tasks. Out: how many.
create or replace function penstock.unpark(_tasks text[]) returns integer
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off
as $$
declare
  _ids constant uuid[] := array(
    select j.id from penstock.job j where j.state = 2 and j.task = any(_tasks) order by j.id for update);
begin
  if cardinality(_ids) > 0 then
    update penstock.job j set state = 0 where j.id = any(_ids);
    perform penstock.look(array(select distinct j.queue from penstock.job j where j.id = any(_ids)));
    perform penstock.ring();
  end if;
  return cardinality(_ids);
end
$$;

-- Delete results that have expired, and the notes of claims that hold nothing any more, which their holder does not get
-- to know when their endings were part of a sink's transaction. In: the time or null. Out: how many results.
create or replace function penstock.prune(_at float8) returns integer
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off
as $$
declare
  _count integer;
begin
  delete from penstock.lease l
  where l.taken_at < clock_timestamp() - interval '1 minute'
    and not exists (
      select from penstock.job j
      where j.state = 0 and j.queue = l.queue and j.rank = l.rank and j.seq between l.first and l.last
        and j.claim = l.claim
      offset 0);
  -- Lines that have been empty for a minute. One that somebody adds to is locked.
  delete from penstock.line where name in (
    select l.name from penstock.line l
    where l.idle_since < coalesce(_at, extract(epoch from clock_timestamp())) - 60
      and not exists (select from penstock.job j where j.state = 0 and j.queue = l.name offset 0)
    for update skip locked);
  delete from penstock.gate where paid_until < coalesce(_at, extract(epoch from clock_timestamp())) - 60;
  delete from penstock.result where expires_at <= coalesce(penstock.moment(_at), clock_timestamp());
  get diagnostics _count = row_count;
  return _count;
end
$$;

-- Enqueue a job from SQL: triggers, cron, other languages. The payload is {"args": [...], "kwargs": {...}}, either of
-- them or none; without delay (seconds) or run_at the job is ready at once. Out: the id that stands for the job: its own, or
-- that of the job which holds its unique key.
create or replace function penstock.enqueue(
  task text, payload jsonb default '{}', queue text default 'default', priority integer default 5,
  delay float8 default null, run_at timestamptz default null, unique_key text default null,
  at_most_once boolean default false, id uuid default null
) returns uuid
language plpgsql
as $$
declare
  _id uuid := id;
  _stands uuid;
  _limited constant boolean := exists (select from penstock.limits l where l.name = task);
  _queue constant text := case when _limited then ',' || queue || ',' || task else queue end;
begin
  if task is null or queue is null then
    raise exception 'a job needs a task and a queue' using errcode = 'invalid_parameter_value';
  end if;
  if priority is null or priority not between 0 and 9 then
    raise exception 'priority must be from 0 to 9, not %', priority using errcode = 'invalid_parameter_value';
  end if;
  if payload is null or jsonb_typeof(payload) <> 'object'
     or exists (select from jsonb_object_keys(payload) as k where k not in ('args', 'kwargs'))
     or jsonb_typeof(coalesce(payload -> 'args', '[]')) <> 'array'
     or jsonb_typeof(coalesce(payload -> 'kwargs', '{}')) <> 'object' then
    raise exception 'payload must be {"args": [...], "kwargs": {...}}, not %', left(payload::text, 200)
      using errcode = 'invalid_parameter_value';
  end if;
  if _id is null then
    -- A UUIDv7: 48 bits of milliseconds, the version, and what gen_random_uuid has at random.
    _id := (lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
            || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid;
  end if;
  -- Where a key's holder ends between the two looks, the key is free: once more.
  while _stands is null loop
    _stands := coalesce((penstock.store(
      array[_id], array[_queue], array[(9 - priority)::smallint], array[task],
      array[convert_to(payload::text, 'UTF8')], null, array[0], null, array[1], array[false], null, array[unique_key],
      array[at_most_once], array[extract(epoch from run_at)::float8], array[nullif(delay, 0)], null, array[false],
      false, null, true))[1]);
  end loop;
  if _limited then
    perform penstock.look(array[_queue]);
  end if;
  return _stands;
end
$$;

-- As before, but the jobs of lines are told with their queue.
create or replace view penstock.jobs as
select j.id, j.task, (case when penstock.gate_of(j.queue) is null then j.queue else split_part(j.queue, ',', 2) end) collate "C" as queue, 9 - j.rank as priority,
       case j.state when 0 then case when j.claim is null then 'ready' else 'running' end
                    when 1 then 'delayed' when 2 then 'parked' when 3 then 'dead' else 'cancelled' end as state,
       j.attempt, j.crashes, j.items, j.batch, j.uniq, j.created_at, j.run_at, j.ended_at, l.worker, l.process
from penstock.job j
left join penstock.lease l on l.claim = j.claim and l.queue = j.queue and l.rank = j.rank;
