-- A look at what is due begins where the one before left off, as a claim does: entries of delayed jobs that have become ready stay in the index for as long as another
-- session's transaction might see them, and each look went past all of them, twice.

-- Make delayed jobs that are due ready, behind all others or where they were in the order of their key. In: the time or null; how many at most; the time from which on to
-- look, or null. Out: how many; in how many seconds the next one is due (null: there is none); from when on the next look may begin; whether many dead entries were in the way.
create function penstock.promote_from(_at float8, _most integer, _from float8, out moved integer, out next_in float8, out next_from float8, out far boolean)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
declare
  _now constant timestamptz := coalesce(penstock.moment(_at), clock_timestamp());
  _low constant timestamptz := coalesce(penstock.moment(_from), '-infinity');
  _index constant oid := 'penstock.job_delayed'::regclass;
  _read bigint := pg_stat_get_xact_tuples_returned(_index);
  _pages bigint := pg_stat_get_xact_blocks_fetched(_index);
  _next timestamptz;
  _names text[];
begin
  moved := 0;
  select j.run_at into _next from penstock.job j where j.state = 1 and j.run_at >= _low order by j.run_at limit 1;
  far := pg_stat_get_xact_tuples_returned(_index) - _read > 1000 or pg_stat_get_xact_blocks_fetched(_index) - _pages > 100;
  if _next <= _now then
    with due as materialized (
      select j.ctid as place from penstock.job j where j.state = 1 and j.run_at >= _next and j.run_at <= _now order by j.run_at limit _most
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
    select j.run_at into _next from penstock.job j where j.state = 1 and j.run_at >= _next order by j.run_at limit 1;
    if moved > 0 then
      perform penstock.ring();
    end if;
  end if;
  next_in := extract(epoch from _next)::float8 - coalesce(_at, extract(epoch from _now)::float8);
  -- Somebody's job that was due in the last second may be committed yet; one that comes later still is found by a look from the beginning.
  next_from := extract(epoch from least(_next, _now))::float8 - 1;
end
$$;
