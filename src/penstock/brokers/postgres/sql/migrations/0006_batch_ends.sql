-- A batch's counters go when it has had no job for a day. What is asked of the other tables stays the same.
alter table penstock.batch
  add column look_at timestamptz not null default '-infinity',  -- when to see next whether it has any job left
  add column seen bigint;  -- the sum of its counters when it had none; null: it had some, or nobody has looked
create index batch_look on penstock.batch (look_at);

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
