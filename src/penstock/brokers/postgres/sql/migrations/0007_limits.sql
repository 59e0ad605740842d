-- Limits of tasks and queues. A claim takes from the lines that are due, under the locks of their gates. Times are in epoch seconds.
-- Whoever locks several takes jobs first, then gates, then lines, each in the order of their names.

-- Jobs of these queues and lines are ready, or have ended: know the lines, and look at all before the same gates again, at a time that
-- puts them behind those that have waited longer.
create function penstock.look(_names text[], _due float8 default 0) returns void
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
       where l.queue >= ',' and l.queue < '-' and not penstock.is_ordered(l.queue) and penstock.gate_of(l.queue) = g.name)
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
