-- Jobs out and back: claims, fenced endings, and what a dead worker held.

-- Give back what a worker holds: all, or only the part of one process, and of that the claims after a number.
-- In: worker, process or null, claim, ids of the jobs that crashed, failure of what may not run twice, now. Out: how many jobs.
create function penstock.give_back(
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
begin
  if cardinality(_claims) = 0 then
    return 0;
  end if;
  with back as (
    update penstock.job j
    set claim = null,
        crashes = j.crashes + case when j.id = any(_crashed) then 1 else 0 end,
        attempt = j.attempt + case when j.at_most_once then 1 else 0 end,
        state = case when j.at_most_once then 3 else 0 end,
        uniq = case when not j.at_most_once then j.uniq end,
        ended_at = case when j.at_most_once then _now end,
        failure = case when j.at_most_once then _interrupted else j.failure end
    where j.id = any(_ids)
    returning j.at_most_once, j.batch, j.items
  )
  insert into penstock.batch as b (id, total, done, failed, retried)
  select batch, 0, 0, sum(items), 0 from back where at_most_once and batch is not null group by batch order by batch
  on conflict (id) do update set failed = b.failed + excluded.failed;
  delete from penstock.lease where claim = any(_claims);
  if cardinality(_ids) > 0 then
    perform penstock.ring();
  end if;
  return cardinality(_ids);
end
$$;

-- End leases whose claims are in force. In: a column of the outcomes each (null: as the name says, nothing in any of
-- them; endings: all done), sorted by id; the steps of their batches with the outcomes' numbers (from 1); the claims that hold nothing
-- any more; the time or null. Out: the numbers of the outcomes that came too late, or null.
create function penstock.finish(
  _ids uuid[], _claims bigint[], _endings smallint[], _delays float8[], _results bytea[], _ttls float8[],
  _failures bytea[], _payloads bytea[], _items integer[],
  _step_of integer[], _step_batches uuid[], _step_done bigint[], _step_failed bigint[], _step_retried bigint[],
  _step_total bigint[], _spent bigint[], _at float8
) returns integer[]
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
declare
  _now constant timestamptz := coalesce(penstock.moment(_at), clock_timestamp());
  _held uuid[];
  _stale integer[];
  _ready boolean;
begin
  if _endings is null then
    with gone as (
      delete from penstock.job j using unnest(_ids, _claims) as x (id, claim)
      where j.id = x.id and j.claim = x.claim
      returning j.id
    )
    select array_agg(id) into _held from gone;
  else
    _held := array(
      select j.id from unnest(_ids, _claims) as x (id, claim)
      join penstock.job j on j.id = x.id and j.claim = x.claim
      order by j.id
      for update of j);
  end if;
  if coalesce(cardinality(_held), 0) < cardinality(_ids) then
    _stale := array(
      select x.n from unnest(_ids) with ordinality as x (id, n) where not x.id = any(coalesce(_held, '{}')) order by x.n);
  end if;
  if _endings is not null then
    delete from penstock.job j using unnest(_ids, _endings) with ordinality as x (id, ending, n)
    where j.id = x.id and x.ending = 0 and (_stale is null or not x.n = any(_stale));
    with changed as (
      update penstock.job j
      set claim = null,
          state = case when x.ending in (1, 2) then case when x.delay > 0 then 1 else 0 end
                       when x.ending in (3, 4) then x.ending when x.ending = 5 then 2 else 0 end,
          seq = case when x.ending in (1, 2) and not x.delay > 0 then nextval('penstock.place') else j.seq end,
          run_at = case when x.ending in (1, 2) and x.delay > 0
                        then penstock.moment(extract(epoch from _now)::float8 + x.delay) end,
          attempt = j.attempt + case when x.ending = 1 or (x.ending = 3 and x.failure is not null) then 1 else 0 end,
          failure = coalesce(x.failure, j.failure),
          payload = coalesce(x.payload, j.payload),
          items = coalesce(x.items, j.items),
          uniq = case when x.ending not in (3, 4) then j.uniq end,
          ended_at = case when x.ending in (3, 4) then _now end
      from unnest(_ids, _endings, _delays, _failures, _payloads, _items) with ordinality
           as x (id, ending, delay, failure, payload, items, n)
      where j.id = x.id and x.ending > 0 and (_stale is null or not x.n = any(_stale))
      returning j.state
    )
    select bool_or(state < 2) into _ready from changed;
  end if;
  if _results is not null then
    insert into penstock.result (id, value, expires_at)
    select x.id, x.result, penstock.moment(extract(epoch from _now)::float8 + x.ttl)
    from unnest(_ids, _results, _ttls) with ordinality as x (id, result, ttl, n)
    where x.result is not null and (_stale is null or not x.n = any(_stale))
    on conflict (id) do update set value = excluded.value, expires_at = excluded.expires_at;
  end if;
  if _step_of is not null then
    insert into penstock.batch as b (id, total, done, failed, retried)
    select s.batch, sum(s.total), sum(s.done), sum(s.failed), sum(s.retried)
    from unnest(_step_of, _step_batches, _step_done, _step_failed, _step_retried, _step_total)
         as s (n, batch, done, failed, retried, total)
    where _stale is null or not s.n = any(_stale)
    group by s.batch order by s.batch
    on conflict (id) do update set total = b.total + excluded.total, done = b.done + excluded.done,
                                   failed = b.failed + excluded.failed, retried = b.retried + excluded.retried;
  end if;
  if _spent is not null then
    delete from penstock.lease where claim = any(_spent);
  end if;
  if _ready then
    perform penstock.ring();
  end if;
  return _stale;
end
$$;

-- Take the heads of queues. In: queue, rank and the place after which to look, for each rank of each queue in the order to
-- take from; how many; worker, process; the claim after which the worker holds nothing it knows of, or null; failure for what
-- may not run twice; the time or null; anything that is to be computed before. Out: the jobs, and then, where many
-- dead or held entries were in the way, a row whose id is null and whose seq counts them.
create function penstock.take(
  _queues text[], _ranks smallint[], _lows bigint[], _most integer, _worker text, _process integer, _doubt bigint,
  _interrupted bytea, _at float8, _before integer[]
) returns table (
  id uuid, seq bigint, claim bigint, task text, payload bytea, queue text, rank smallint, attempt integer,
  crashes integer, options bytea, batch uuid, items integer, packed boolean, item bigint, at_most_once boolean
)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
#variable_conflict use_column
declare
  _now constant timestamptz := coalesce(penstock.moment(_at), clock_timestamp());
  _holder constant bigint := hashtextextended(_worker || '/' || _process, hashtext('penstock'));
  _index constant oid := 'penstock.job_ready'::regclass;
  _read bigint;
  _pages bigint;
  _taken bigint;
begin
  if _doubt is not null then
    -- An exchange whose connection was lost may still be running: wait for it, then give back what nobody knows of.
    perform pg_advisory_xact_lock(_holder);
    perform penstock.give_back(_worker, _process, _doubt, '{}', _interrupted, _now);
  else
    perform pg_advisory_xact_lock_shared(_holder);
  end if;
  _read := pg_stat_get_xact_tuples_returned(_index);
  _pages := pg_stat_get_xact_blocks_fetched(_index);
  return query
  with number as materialized (
    select nextval('penstock.claim') as claim
  ), heads as materialized (
    select head.place
    from unnest(_queues, _ranks, _lows) as w (queue, rank, low)
    cross join lateral (
      select j.ctid as place from penstock.job j
      where j.state = 0 and j.queue = w.queue and j.rank = w.rank and j.seq > w.low and j.claim is null
      order by j.seq
      limit _most
      for update skip locked) as head
    limit _most
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
  get diagnostics _taken = row_count;
  -- Entries that are known to be dead are passed over and not counted, but the pages that are full of them are.
  _read := pg_stat_get_xact_tuples_returned(_index) - _read - _taken;
  _pages := pg_stat_get_xact_blocks_fetched(_index) - _pages - 4 * cardinality(_ranks) - _taken / 50;
  if _read > 1000 or _pages > 100 then
    seq := _read;
    return next;
  end if;
end
$$;

-- Make delayed jobs that are due ready, behind all others. In: the time or null, how many at most. Out: how many, and in
-- how many seconds the next one is due (null: there is none).
create function penstock.promote(_at float8, _most integer, out moved integer, out next_in float8)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
declare
  _now constant timestamptz := coalesce(penstock.moment(_at), clock_timestamp());
  _next timestamptz;
begin
  moved := 0;
  select j.run_at into _next from penstock.job j where j.state = 1 order by j.run_at limit 1;
  if _next <= _now then
    with due as materialized (
      select j.ctid as place from penstock.job j where j.state = 1 and j.run_at <= _now order by j.run_at limit _most
      for update skip locked
    ), changed as (
      update penstock.job j set state = 0, run_at = null, seq = nextval('penstock.place') from due where j.ctid = due.place
      returning 1
    )
    select count(*) into moved from changed;
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
    update penstock.job j set state = 0 where j.id = any(_ids);
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
  delete from penstock.result where expires_at <= coalesce(penstock.moment(_at), clock_timestamp());
  get diagnostics _count = row_count;
  return _count;
end
$$;

update penstock.meta set value = 3 where name = 'oldest';
