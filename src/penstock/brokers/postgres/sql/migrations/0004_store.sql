-- Jobs in: functions, so that everything is one statement with plans that are kept, whatever sits between client and server.

-- An epoch time as a timestamp; what lies outside of all calendars is moved to their ends.
create function penstock.moment(seconds float8) returns timestamptz
language sql stable strict parallel safe
as $$ select to_timestamp(least(greatest(seconds, -1e10), 9e12)) $$;

-- Wake the workers. Listeners that wait hold a lock; where nobody has it, all workers are busy and nothing is sent,
-- since a notification costs its sender a lock on the whole server at commit. In: send it in any case.
create function penstock.ring(always boolean default false) returns void
language plpgsql
as $$
begin
  if not always and pg_try_advisory_lock(hashtext('penstock'), 1) then
    perform pg_advisory_unlock(hashtext('penstock'), 1);
  else
    perform pg_notify('penstock', '');
  end if;
end
$$;

-- Store jobs; one whose id is stored or whose unique key is taken is left out. In: a column of the jobs each, where an
-- array of one value stands for that value in all of them and null for null; whether their batches grow; the time or
-- null; whether the workers are told in any case. Out: null, or where keys are given the id that stands for each job
-- (null where its key was taken at first and free again at once: try again).
create function penstock.store(
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
    left join penstock.job own on own.id = x.id
    left join penstock.job held on held.uniq = x.key
    order by x.n);
end
$$;

-- Enqueue a job from SQL: triggers, cron, other languages. The payload is {"args": [...], "kwargs": {...}}, either of
-- them or none; without delay (seconds) or run_at the job is ready at once. Out: the id that stands for the job: its own, or
-- that of the job which holds its unique key.
create function penstock.enqueue(
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
