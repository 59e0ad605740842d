-- Jobs out and back: claims and fenced endings.

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
          seq = case when x.ending in (1, 2) and not x.delay > 0 and not penstock.is_ordered(j.queue) then nextval('penstock.place')
                     else j.seq end,
          waits = case when ((x.ending in (1, 2) and x.delay > 0) or x.ending = 5) and not x.n = any(_off) and penstock.is_ordered(j.queue)
                       then true end,
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

-- May anything be limited, and may any job keep an order?
create function penstock.any_limited(out limited boolean, out ordered boolean)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set enable_indexonlyscan = off set jit = off
as $$
begin
  limited := exists (select from penstock.limits) or exists (select from penstock.line);
  ordered := (select true from penstock.job j where j.state = 0 and j.queue >= ',' and j.queue < '-' order by j.queue limit 1) is not null;
end
$$;
