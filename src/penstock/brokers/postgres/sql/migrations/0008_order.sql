-- Order per key. The jobs of a key have a line of their own, ",queue,=task,key", and one order in it: their places, in one rank. Nobody takes any
-- of it while a claim holds one (its note in `lease` is unique for such a line), nor what is behind one that can't run.

-- Does a line keep its order? Not strict, so that it is put in place where it is used.
create function penstock.is_ordered(line text) returns boolean
language sql immutable parallel safe
as $$ select line >= ',' and line < '-' and left(split_part(line, ',', 3), 1) = '=' $$;

-- True where it is delayed or parked and keeps its place: those behind it wait. Null elsewhere.
alter table penstock.job add column waits boolean;
create index job_waits on penstock.job (queue, seq) where waits;
create unique index lease_order on penstock.lease (queue) where penstock.is_ordered(queue);
drop index penstock.lease_gate;
create index lease_gate on penstock.lease (penstock.gate_of(queue)) where queue >= ',' and queue < '-' and not penstock.is_ordered(queue);

-- Jobs of these queues and lines are ready, or have ended: know the lines, and look at all before the same gates again, at a time that
-- puts them behind those that have waited longer.
create or replace function penstock.look(_names text[], _due float8 default 0) returns void
language plpgsql
as $$
begin
  insert into penstock.line (name, queue, gate, due)
  select n, split_part(n, ',', 2), penstock.gate_of(n), _due
  from (select distinct n from unnest(_names) as n where penstock.gate_of(n) is not null and not penstock.is_ordered(n) order by n) as lines
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

-- Make delayed jobs that are due ready, behind all others or where they were in the order of their key. In: the time or null, how many at most. Out: how many, and in
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
    update penstock.job j set state = 0, waits = null where j.id = any(_ids);
    perform penstock.look(array(select distinct j.queue from penstock.job j where j.id = any(_ids)));
    perform penstock.ring();
  end if;
  return cardinality(_ids);
end
$$;

-- Lock gates. In: names. Out: of each, until when it is paid for, and how many jobs run that passed it.
create or replace function penstock.lock_gates(_names text[]) returns table (name text, paid_until float8, running bigint)
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
       where l.queue >= ',' and l.queue < '-' and not penstock.is_ordered(l.queue) and penstock.gate_of(l.queue) = g.name)
    end
  from penstock.gate g
  where g.name = any(_names);
end
$$;

-- The lines between two names that keep their order, one look into the index for each, and whether a job of it may be taken. In: the names, how many lines. Out: name, the
-- place of its first job, whether that may be taken.
create function penstock.ordered_lines(_after text, _until text, _most integer) returns table (name text, first bigint, may boolean)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
begin
  return query
  with recursive walk (name, first, held, n) as (
    (select j.queue, j.seq, j.claim is not null, 1 from penstock.job j
     where j.state = 0 and j.queue > _after and j.queue < _until order by j.queue, j.rank, j.seq limit 1)
    union all
    select next.queue, next.seq, next.held, w.n + 1
    from walk w
    cross join lateral (
      select j.queue, j.seq, j.claim is not null as held from penstock.job j
      where j.state = 0 and j.queue > w.name and j.queue < _until order by j.queue, j.rank, j.seq limit 1) as next
    where w.n < _most
  )
  select w.name, w.first,
    not w.held and not exists (select from penstock.lease l where l.queue = w.name and penstock.is_ordered(l.queue))
      and not exists (select from penstock.job j where j.waits and j.queue = w.name and j.seq < w.first)
  from walk w;
end
$$;

-- What is ready in some queues and may start. With those of 1,000 keys of each queue that
-- keep their order. In: queues; how many to count; how many lines to look at; the time or null. Out: how many, and
-- for how many seconds the oldest has been ready (null: there is none).
create or replace function penstock.backlog(_queues text[], _most integer, _lines integer, _at float8, out ready bigint, out waited float8)
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

-- Take jobs that keep their order from the lines of queues: of each line those at its head, as far as none of them has to wait, unless somebody holds one. In: for each
-- queue the name of the line to begin after, and how many jobs; worker, process; the time or null. Out: as take, the jobs of a line in their
-- order; then, with no id, for each queue the name to begin after next time, and in place of the seq whether others were quicker.
create function penstock.take_ordered(
  _queues text[], _after text[], _mosts integer[], _worker text, _process integer, _at float8
) returns table (
  id uuid, seq bigint, claim bigint, task text, payload bytea, queue text, rank smallint, attempt integer,
  crashes integer, options bytea, batch uuid, items integer, packed boolean, item bigint, at_most_once boolean
)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
declare
  _now constant timestamptz := coalesce(penstock.moment(_at), clock_timestamp());
  _claim bigint;
  _ids uuid[] := '{}';
  _names text[] := '{}';
  _seqs bigint[] := '{}';
  _mine integer;
  _taken integer;
  _began text;
  _from text;
  _until text;
  _some integer;                   -- lines to look at in one go: more and more, since a line may have all that is wanted
  _looked integer;
  _last text;
  _more record;
  _left integer;
begin
  for i in 1 .. cardinality(_queues) loop
    _began := greatest(_after[i], ',' || _queues[i] || ',=');
    _from := _began;
    _until := ',' || _queues[i] || ',>';
    _left := _mosts[i];
    _some := 32;
    _looked := 0;
    while _left > 0 and _looked < 10000 loop
      with lines as materialized (
        select l.name, l.first, l.may from penstock.ordered_lines(_from, _until, _some) as l
      ), runs as materialized (
        select l.name, run.id, run.seq
        from lines l
        cross join lateral (
          select j.id, j.seq from penstock.job j
          where j.state = 0 and j.queue = l.name and j.rank = 4 and j.seq >= l.first
            and j.seq < coalesce((select min(w.seq) from penstock.job w where w.waits and w.queue = l.name), 9223372036854775807)
          order by j.seq
          limit _left) as run
        where l.may
        limit _left
      )
      select (select count(*) from lines) as looked, (select max(name) from lines) as last, count(*) as found, max(name) as till,
             array_agg(id) as ids, array_agg(name) as names, array_agg(seq) as seqs
      into _more from runs;
      _looked := _looked + _more.looked;
      if _more.found > 0 then
        _ids := _ids || _more.ids;
        _names := _names || _more.names;
        _seqs := _seqs || _more.seqs;
        _left := _left - _more.found;
      end if;
      if _left = 0 then
        _after[i] := _more.till;
      elsif _more.looked = _some then
        _from := _more.last;
        _after[i] := _from;
        _some := least(_some * 4, 2048);
      elsif _until = ',' || _queues[i] || ',>' and _began > ',' || _queues[i] || ',=' then
        -- At the end: once more from the beginning, up to where this began.
        _until := _began || e'\x01';
        _from := ',' || _queues[i] || ',=';
        _after[i] := _from;
      else
        _after[i] := ',' || _queues[i] || ',=';
        exit;
      end if;
    end loop;
  end loop;
  if cardinality(_ids) > 0 then
    _claim := nextval('penstock.claim');
    -- Who comes second waits for the commit of the first, and leaves the line alone. All go by the order of the names: nobody waits in a circle.
    insert into penstock.lease (claim, queue, rank, first, last, worker, process, taken_at)
    select _claim, x.name, 4, min(x.seq), max(x.seq), _worker, _process, _now
    from unnest(_names, _seqs) as x (name, seq) group by x.name order by x.name
    on conflict (queue) where penstock.is_ordered(queue) do nothing;
    get diagnostics _mine = row_count;
    _ids := array(select x from unnest(_ids) as x order by x);
    -- A statement of its own, which sees what was committed before the lines were ours. With their offsets, the conditions stay looks into an index.
    return query
    with mine as materialized (
      select head.place
      from unnest(_ids) as x (id)
      cross join lateral (
        select j.ctid as place from penstock.job j
        where j.id = x.id and j.state = 0 and j.claim is null
          and exists (
            select from penstock.lease l where l.queue = j.queue and penstock.is_ordered(l.queue) and l.claim = _claim offset 0)
          and not exists (select from penstock.job w where w.waits and w.queue = j.queue and w.seq < j.seq offset 0)
        limit 1
        for update) as head
    ), taken as (
      update penstock.job j set claim = _claim from mine where j.ctid = mine.place
      returning j.id, j.seq, j.claim, j.task, j.payload, j.queue, j.rank, j.attempt, j.crashes, j.options, j.batch, j.items,
                j.packed, j.item, j.at_most_once
    )
    select * from taken t order by t.queue, t.seq;
    get diagnostics _taken = row_count;
    if _taken < cardinality(_ids) then
      delete from penstock.lease l
      where l.claim = _claim and not exists (
        select from penstock.job j
        where j.state = 0 and j.queue = l.queue and j.rank = l.rank and j.seq between l.first and l.last and j.claim = l.claim);
    end if;
  end if;
  for i in 1 .. cardinality(_queues) loop
    id := null;
    queue := _after[i];
    seq := case when _taken < cardinality(_ids) then 1 else 0 end;
    return next;
  end loop;
end
$$;

-- Jobs that keep their order have ended: let go of the lines of which a claim holds nothing any more, and wake the workers for what is behind. In: lines, claims.
create function penstock.let_go(_lines text[], _claims bigint[]) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
begin
  delete from penstock.lease l using (select distinct line, claim from unnest(_lines, _claims) as x (line, claim)) as x
  where l.claim = x.claim and l.queue = x.line and l.rank = 4 and not exists (
    select from penstock.job j
    where j.state = 0 and j.queue = l.queue and j.rank = l.rank and j.seq between l.first and l.last and j.claim = l.claim);
  perform penstock.ring();
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
