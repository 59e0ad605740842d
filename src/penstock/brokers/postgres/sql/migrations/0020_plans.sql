-- Where PostgreSQL has looked at the table when the queue was empty, and its pages were still there, it takes it that there is nothing in any of them, until it looks again: within
-- a minute, as a rule. Of a job and a list it then read all the jobs, and compared each with the whole list: an exchange of 500 took a second with 20,000 jobs in the queue. These
-- say so that no other way is left: for each of the list, look up the job.
-- - `id = any(array[x.id])` is an index's condition, and joins nothing: it can't be turned round, as `id = x.id` can.
-- - `offset 0` in a lateral query has it run for each row before it.
-- - `order by uuid_send(id)` is the order of ids, for which no index is read from end to end.

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
      where j.id = any(array[x.id]) and j.claim = x.claim
      returning j.id
    )
    select array_agg(id) into _held from gone;
  else
    _held := array(
      select j.id from unnest(_ids, _claims) as x (id, claim)
      join penstock.job j on j.id = any(array[x.id]) and j.claim = x.claim
      order by uuid_send(j.id)
      for update of j);
  end if;
  if coalesce(cardinality(_held), 0) < cardinality(_ids) then
    _stale := array(
      select x.n from unnest(_ids) with ordinality as x (id, n) where not x.id = any(coalesce(_held, '{}')) order by x.n);
  end if;
  if _endings is not null then
    _off := array(
      select x.n from unnest(_ids, _endings) with ordinality as x (id, ending, n)
      join penstock.job j on j.id = any(array[x.id]) and j.cancelled
      where x.ending in (1, 2, 5, 6) and (_stale is null or not x.n = any(_stale)));
    delete from penstock.job j using unnest(_ids, _endings) with ordinality as x (id, ending, n)
    where j.id = any(array[x.id]) and x.ending = 0 and (_stale is null or not x.n = any(_stale));
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
      where j.id = any(array[x.id]) and x.ending > 0 and (_stale is null or not x.n = any(_stale))
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
  _found constant uuid[] := array(
    select j.id
    from penstock.lease l
    cross join lateral (
      select j.id from penstock.job j
      where j.state = 0 and j.queue = l.queue and j.rank = l.rank and j.seq between l.first and l.last and j.claim = l.claim
      offset 0) as j
    where l.claim = any(_claims));
  -- Rows are locked in the order of their ids, here and in every other place: nobody waits in a circle.
  _ids constant uuid[] := array(
    select j.id from penstock.job j where j.id = any(_found) and j.claim = any(_claims)
    order by uuid_send(j.id)
    for update);
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
create or replace function penstock.held(_worker text, _process integer) returns table (
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
  cross join lateral (
    select * from penstock.job j
    where j.state = 0 and j.queue = l.queue and j.rank = l.rank and j.seq between l.first and l.last and j.claim = l.claim
    offset 0) as j
  where l.worker = _worker and l.process = _process
  order by j.claim, j.rank, j.seq;
end
$$;

-- Store jobs; one whose id is stored or whose unique key is taken is left out. In: a column of the jobs each, where an
-- array of one value stands for that value in all of them and null for null; whether their batches grow; the time or
-- null; whether the workers are told in any case. Out: null, or where keys are given the id that stands for each job
-- (null where its key was taken at first and free again at once: try again).
create or replace function penstock.store(
  _ids uuid[], _queues text[], _ranks smallint[], _tasks text[], _payloads bytea[], _options bytea[], _attempts integer[],
  _batches uuid[], _items integer[], _packed boolean[], _item bigint[], _keys text[], _once boolean[],
  _run_ats float8[], _delays float8[], _failures bytea[], _dead boolean[], _grow boolean, _at float8, _always boolean
) returns uuid[]
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off
as $$
#variable_conflict use_column
declare
  _now constant timestamptz := coalesce(penstock.moment(_at), clock_timestamp());
  _ready integer;
begin
  with born as (
    insert into penstock.job (id, queue, rank, state, task, payload, options, attempt, batch, items, packed, item, uniq,
                              at_most_once, run_at, created_at, ended_at, failure)
    select x.id, coalesce(x.queue, _queues[1]), coalesce(x.rank, _ranks[1]),
           case when coalesce(x.dead, _dead[1]) then 3 when x.run_at is not null or x.delay is not null then 1 else 0 end,
           coalesce(x.task, _tasks[1]), coalesce(x.payload, _payloads[1]), x.options, coalesce(x.attempt, _attempts[1]),
           x.batch, coalesce(x.items, _items[1]), coalesce(x.packed, _packed[1]), x.item,
           case when not coalesce(x.dead, _dead[1]) then x.key end, coalesce(x.once, _once[1]),
           case when coalesce(x.dead, _dead[1]) then null
                when x.run_at is not null then penstock.moment(x.run_at)
                when x.delay is not null then penstock.moment(extract(epoch from _now)::float8 + x.delay) end,
           _now, case when coalesce(x.dead, _dead[1]) then _now end, x.failure
    from unnest(_ids, _queues, _ranks, _tasks, _payloads, _options, _attempts, _batches, _items, _packed, _item, _keys,
                _once, _run_ats, _delays, _failures, _dead)
         as x (id, queue, rank, task, payload, options, attempt, batch, items, packed, item, key,
               once, run_at, delay, failure, dead)
    on conflict do nothing
    returning state, batch, items
  ), grown as (
    insert into penstock.batch as b (id, total, done, failed, retried)
    select batch, sum(items), 0, 0, 0 from born where _grow and batch is not null group by batch order by batch
    on conflict (id) do update set total = b.total + excluded.total
  )
  select count(*) filter (where state < 2) into _ready from born;
  -- A delayed job is news, too: it may be due before the time up to which the worker that promotes them sleeps.
  if _ready > 0 then
    perform penstock.ring(_always);
  end if;
  if _keys is null then
    return null;
  end if;
  return array(
    select case when x.key is null then x.id else coalesce(own.id, held.id) end
    from unnest(_ids, _keys) with ordinality as x (id, key, n)
    left join lateral (select j.id from penstock.job j where j.id = x.id offset 0) as own on true
    left join lateral (select j.id from penstock.job j where j.uniq = x.key offset 0) as held on true
    order by x.n);
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
    select j.id from penstock.job j where j.state = 2 and j.task = any(_tasks) order by uuid_send(j.id) for update);
begin
  if cardinality(_ids) > 0 then
    update penstock.job j set state = 0, waits = null where j.id = any(_ids);
    perform penstock.look(array(select distinct j.queue from penstock.job j where j.id = any(_ids)));
    perform penstock.ring();
  end if;
  return cardinality(_ids);
end
$$;

-- A stage starts. In: the stage, the batch that has it start, bytes that a job and a stage are handed at most, the time. Out: whether it has jobs to run, or was
-- cancelled, and is to be settled itself.
create or replace function penstock.start_stage(_stage uuid, _trigger uuid, _most bigint, _together bigint, _now timestamptz) returns boolean
language plpgsql
as $$
declare
  _own record;
  _given bytea;
  _takers bigint;
  _queues text[];
  _failure bytea;
begin
  select takes, rule into _own from penstock.stage where id = _stage;
  select count(*) into _takers from penstock.job where batch = _stage and substr(payload, 1, 1) = '\x83';
  if _takers > 0 then
    if _own.rule = 2 then
      select failure into _failure from penstock.job where batch = _trigger and state >= 3 order by state, id limit 1;
      _given := '\xdd00000001dd00000001'::bytea || coalesce(_failure, penstock.failure('Cancelled', 'the job was cancelled'));
    else
      select '\xdd'::bytea || int4send(count(*)::integer) || coalesce(string_agg(part, ''::bytea order by n), '') into _given
      from (
        select t.n, '\xdd'::bytea || int4send(count(m.job)::integer)
               || coalesce(string_agg(
                    coalesce(r.value, j.failure, case when j.id is not null then penstock.failure('Cancelled', 'the job was cancelled') else '\xc0'::bytea end),
                    ''::bytea order by m.job) filter (where m.job is not null), '') as part
        from unnest(penstock.ids_of(_own.takes)) with ordinality as t (id, n)
        left join penstock.member m on m.stage = t.id
        left join lateral (select r.value from penstock.result r where r.id = m.job offset 0) as r on true
        left join lateral (select j.id, j.failure from penstock.job j where j.id = m.job offset 0) as j on true
        group by t.n) as parts;
    end if;
    if length(_given) > _most or length(_given) * _takers > _together then
      perform penstock.stop_stage(
        _stage, 'cancelled', format('the results that %s jobs take have %s bytes each time, and %s are the most for one, %s for all: store them, and return where they are',
                                    _takers, length(_given), _most, _together), _now);
      return true;
    end if;
  end if;
  delete from penstock.edge where stage = _stage;
  update penstock.stage set state = 'started', open = 0, started_at = _now where id = _stage;
  if _given is not null then
    update penstock.job set payload = payload || _given where batch = _stage and state <> -1 and substr(payload, 1, 1) = '\x83';
  end if;
  with begun as (
    update penstock.job j
    set state = case when coalesce(w.due, j.run_at) > _now then 1 else 0 end,
        run_at = case when coalesce(w.due, j.run_at) > _now then coalesce(w.due, j.run_at) end,
        seq = w.place,
        ready_at = _now,
        payload = case when _given is not null and substr(j.payload, 1, 1) = '\x83' then j.payload || _given else j.payload end
    from (
      select o.id, nextval('penstock.place') as place, _now + make_interval(secs => l.delay) as due
      from (select id from penstock.job where batch = _stage and state = -1 order by uuid_send(id) for update) as o
      left join lateral (select l.delay from penstock.later l where l.job = o.id offset 0) as l on true) as w
    where j.id = any(array[w.id])
    returning j.queue
  )
  select array_agg(distinct queue) into _queues from begun;
  delete from penstock.later where job in (select id from penstock.job where batch = _stage);
  if _queues is null then
    return true;
  end if;
  perform penstock.look(array(select name from unnest(_queues) as name where name >= ',' and name < '-'));
  perform penstock.ring();
  return false;
end
$$;
