-- Jobs that run can be asked to be cancelled, and a job knows since when it has been ready.

alter table penstock.job
  add column cancelled boolean,    -- true where it runs and is to be cancelled
  add column ready_at timestamptz; -- since when it has been ready, where that is not since it was made
create index job_cancelled on penstock.job (id) where cancelled;

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
  if cardinality(_ids) > 0 then
    perform penstock.ring();
  end if;
  return cardinality(_ids);
end
$$;

-- End leases whose claims are in force. In: a column of the outcomes each (null: as the name says, nothing in any of
-- them; endings: all done), sorted by id; the steps of their batches with the outcomes' numbers (from 1); the claims that hold nothing
-- any more; the time or null. Out: the numbers of the outcomes that came too late, or null.
create or replace function penstock.finish(
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
  _off integer[];                  -- the outcomes of jobs that are to be cancelled, where these would run again
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
    _off := array(
      select x.n from unnest(_ids, _endings) with ordinality as x (id, ending, n)
      join penstock.job j on j.id = x.id and j.cancelled
      where x.ending in (1, 2, 5, 6) and (_stale is null or not x.n = any(_stale)));
    delete from penstock.job j using unnest(_ids, _endings) with ordinality as x (id, ending, n)
    where j.id = x.id and x.ending = 0 and (_stale is null or not x.n = any(_stale));
    with changed as (
      update penstock.job j
      set claim = null,
          cancelled = null,
          state = case when x.n = any(_off) then 4 when x.ending in (1, 2) then case when x.delay > 0 then 1 else 0 end
                       when x.ending in (3, 4) then x.ending when x.ending = 5 then 2 else 0 end,
          seq = case when x.ending in (1, 2) and not x.delay > 0 then nextval('penstock.place') else j.seq end,
          ready_at = case when x.ending in (1, 2) and not x.delay > 0 then _now else j.ready_at end,
          run_at = case when x.ending in (1, 2) and x.delay > 0 and not x.n = any(_off)
                        then penstock.moment(extract(epoch from _now)::float8 + x.delay) end,
          attempt = j.attempt + case when (x.ending = 1 and not x.n = any(_off)) or (x.ending = 3 and x.failure is not null)
                                     then 1 else 0 end,
          failure = coalesce(x.failure, j.failure),
          payload = coalesce(x.payload, j.payload),
          items = coalesce(x.items, j.items),
          uniq = case when x.ending not in (3, 4) and not x.n = any(_off) then j.uniq end,
          ended_at = case when x.ending in (3, 4) or x.n = any(_off) then _now end
      from unnest(_ids, _endings, _delays, _failures, _payloads, _items) with ordinality
           as x (id, ending, delay, failure, payload, items, n)
      where j.id = x.id and x.ending > 0 and (_stale is null or not x.n = any(_stale))
      returning j.state, j.batch, j.items, x.n
    ), counted as (
      insert into penstock.batch as b (id, total, done, failed, retried)
      select batch, 0, 0, sum(items), 0 from changed where n = any(_off) and batch is not null
      group by batch order by batch
      on conflict (id) do update set failed = b.failed + excluded.failed
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
begin
  moved := 0;
  select j.run_at into _next from penstock.job j where j.state = 1 order by j.run_at limit 1;
  if _next <= _now then
    with due as materialized (
      select j.ctid as place from penstock.job j where j.state = 1 and j.run_at <= _now order by j.run_at limit _most
      for update skip locked
    ), changed as (
      update penstock.job j set state = 0, run_at = null, ready_at = _now, seq = nextval('penstock.place') from due where j.ctid = due.place
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
