-- What is done and asked beside the exchanges: what is due, what a dead worker held, what has had its time, what waits.

-- Make delayed jobs that are due ready, behind all others or where they were in the order of their key. In: the time or null, how many at most. Out: how many, and in
-- how many seconds the next one is due (null: there is none).
create function penstock.promote(_at float8, _most integer, out moved integer, out next_in float8)
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
      update penstock.job j
      set state = 0, run_at = null, ready_at = _now, seq = case when j.waits then j.seq else nextval('penstock.place') end, waits = null
      from due where j.ctid = due.place
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

-- Give back the jobs of workers that have been silent for too long. In: seconds, failure of what may not run twice, the time
-- or null. Out: how many jobs.
create function penstock.rescue(_dead_after float8, _interrupted bytea, _at float8) returns integer
language plpgsql
as $$
#variable_conflict use_column
declare
  _now constant timestamptz := coalesce(penstock.moment(_at), clock_timestamp());
  _dead text;
  _back integer := 0;
begin
  for _dead in
    select id from penstock.worker where beat < _now - make_interval(secs => _dead_after) order by id for update skip locked
  loop
    _back := _back + penstock.give_back(_dead, null, -1, '{}', _interrupted, _now);
    delete from penstock.worker where id = _dead;
  end loop;
  for _dead in
    select l.worker from penstock.lease l
    where not exists (select from penstock.worker w where w.id = l.worker)
    group by l.worker having max(l.taken_at) < _now - make_interval(secs => _dead_after) order by l.worker
  loop
    _back := _back + penstock.give_back(_dead, null, -1, '{}', _interrupted, _now);
  end loop;
  return _back;
end
$$;

-- Make the parked jobs of tasks ready again, where they were. In: tasks. Out: how many.
create function penstock.unpark(_tasks text[]) returns integer
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off
as $$
declare
  _ids constant uuid[] := array(
    select j.id from penstock.job j where j.state = 2 and j.task = any(_tasks) order by j.id for update);
begin
  if cardinality(_ids) > 0 then
    update penstock.job j set state = 0, waits = null where j.id = any(_ids);
    perform penstock.look(array(select distinct j.queue from penstock.job j where j.id = any(_ids)));
    perform penstock.ring();
  end if;
  return cardinality(_ids);
end
$$;

-- Delete results that have expired, and the notes of claims that hold nothing any more, which their holder does not get
-- to know when their endings were part of a sink's transaction. In: the time or null. Out: how many results.
create function penstock.prune(_at float8) returns integer
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

-- Delete the counters of batches that had no job at the last look, have none now, and did not change in between; note how the
-- others stand, for the next look. In: the time or null, seconds until the next look, how many to look at.
create function penstock.prune_batches(_at float8, _every float8, _most integer) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
#variable_conflict use_column
declare
  _now constant timestamptz := coalesce(penstock.moment(_at), clock_timestamp());
begin
  with due as (
    select b.id, b.total + b.done + b.failed + b.retried as counted,
           -- With the limit it stays a look into the index for each of them.
           (select true from penstock.job j where j.batch = b.id limit 1) is not null as lives
    from penstock.batch b where b.look_at <= _now order by b.look_at limit _most for update of b skip locked
  ), gone as (
    delete from penstock.batch b using due where b.id = due.id and not due.lives and b.seen = due.counted
  )
  update penstock.batch b
  set look_at = _now + make_interval(secs => _every), seen = case when not due.lives then due.counted end
  from due where b.id = due.id and (due.lives or b.seen is distinct from due.counted);
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

-- What is ready in some queues and may start. With those of 1,000 keys of each queue that
-- keep their order. In: queues; how many to count; how many lines to look at; the time or null. Out: how many, and
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
    (select l.name from penstock.line l where l.queue = any(_queues) and l.name <> l.queue and l.due <= _now limit _lines)
    union all
    select o.name from unnest(_queues) as q
    cross join lateral penstock.ordered_lines(',' || q || ',=', ',' || q || ',>', 1000) as o where o.may);
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
      and (r.rank = 4 or not penstock.is_ordered(n.name))
    order by j.seq limit 1) as head;
end
$$;
