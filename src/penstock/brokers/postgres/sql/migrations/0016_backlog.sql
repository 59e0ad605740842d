-- A look at what waits begins where the one before found the first, as a claim does: entries of jobs that have ended stay in the index for as long as another
-- session's transaction might see them, and each look went past all of them, three times.

-- What is ready in some queues and may start. With those of 1,000 keys of each queue that keep their order. In: queue, rank and the place after which to look, for each
-- rank of each queue; how many to count; how many lines to look at; the time or null. Out: how many; for how many seconds the oldest has been ready (null: there is none);
-- the places after which the next look may begin, which finds all that is stored from now on; whether many dead or held entries were in the way.
create function penstock.backlog_after(
  _queues text[], _ranks smallint[], _lows bigint[], _most integer, _lines integer, _at float8,
  out ready bigint, out waited float8, out lows bigint[], out far boolean
)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off
as $$
declare
  _now constant float8 := coalesce(_at, extract(epoch from clock_timestamp())::float8);
  _index constant oid := 'penstock.job_ready'::regclass;
  -- Asked before anything is read: what gets its place later lies behind it.
  _place constant bigint := (select p.last_value from penstock.place p);
  _read bigint := pg_stat_get_xact_tuples_returned(_index);
  _pages bigint := pg_stat_get_xact_blocks_fetched(_index);
  _closed constant text[] := array(select l.name from penstock.line l where l.name = any(_queues) and l.due > _now);
  _names constant text[] := array(
    (select l.name from penstock.line l where l.queue = any(_queues) and l.name <> l.queue and l.due <= _now limit _lines)
    union all
    select o.name from unnest(_queues, _ranks) as w (queue, rank)
    cross join lateral penstock.ordered_lines(',' || w.queue || ',=', ',' || w.queue || ',>', 1000) as o
    where w.rank = 0 and o.may);
  _heads bigint[];
  _since timestamptz;
  _behind bigint;
  _oldest timestamptz;
begin
  select array_agg(head.seq order by w.n), min(coalesce(head.ready_at, head.created_at)) into _heads, _since
  from unnest(_queues, _ranks, _lows) with ordinality as w (queue, rank, low, n)
  left join lateral (
    select j.seq, j.ready_at, j.created_at from penstock.job j
    where j.state = 0 and j.queue = w.queue and j.rank = w.rank and j.seq > w.low and j.claim is null
      and not w.queue = any(_closed)
    order by j.seq limit 1) as head on true;
  -- As in a claim: entries that are known to be dead are passed over and not counted, but the pages that are full of them are.
  far := pg_stat_get_xact_tuples_returned(_index) - _read > 1000
    or pg_stat_get_xact_blocks_fetched(_index) - _pages - 4 * cardinality(_ranks) > 100;
  select count(*) into ready from (
    select from unnest(_queues, _ranks, _heads) as w (queue, rank, head)
    cross join lateral (
      select from penstock.job j
      where j.state = 0 and j.queue = w.queue and j.rank = w.rank and j.seq >= w.head and j.claim is null limit _most) as counted
    limit _most) as counted;
  if cardinality(_names) > 0 then
    select count(*) into _behind from (
      select from unnest(_names) as n (name)
      cross join lateral (
        select from penstock.job j where j.state = 0 and j.queue = n.name and j.claim is null limit _most) as counted
      limit _most) as counted;
    select min(coalesce(head.ready_at, head.created_at)) into _oldest
    from unnest(_names) as n (name)
    cross join generate_series(0, 9) as r (rank)
    cross join lateral (
      select j.ready_at, j.created_at from penstock.job j
      where j.state = 0 and j.queue = n.name and j.rank = r.rank::smallint and j.claim is null
        and (r.rank = 4 or not penstock.is_ordered(n.name))
      order by j.seq limit 1) as head;
    ready := least(ready + _behind, _most);
    _since := least(_since, _oldest);
  end if;
  waited := _now - extract(epoch from _since)::float8;
  select array_agg(case when x.queue = any(_closed) then x.low else coalesce(x.head - 1, greatest(x.low, _place)) end order by x.n) into lows
  from unnest(_queues, _heads, _lows) with ordinality as x (queue, head, low, n);
end
$$;
