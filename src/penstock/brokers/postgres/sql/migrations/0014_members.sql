-- Members of stages are those whose results a stage may yet take: such results are not deleted, however long that takes. When all have started that take them,
-- sql/prune_workflows.sql lets them go, and not the start of a stage: it would not know of the others.

create index member_job on penstock.member (job);

-- Nobody may take the results of stages any more. In: the stages and until when their results are kept, side by side, or nulls.
create function penstock.let_go(_stages uuid[], _until timestamptz[]) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off
as $$
begin
  with gone as (
    delete from penstock.member m using unnest(_stages, _until) as t (stage, until) where m.stage = t.stage returning m.job, t.until
  )
  update penstock.result r set expires_at = least(r.expires_at, gone.until) from gone where r.id = gone.job;
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
        left join penstock.result r on r.id = m.job
        left join penstock.job j on j.id = m.job
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
      from (select id from penstock.job where batch = _stage and state = -1 order by id for update) as o
      left join penstock.later l on l.job = o.id) as w
    where j.id = w.id
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

-- Delete results that have expired and that no stage may yet take, and the notes of claims that hold nothing any more, which their holder does not get
-- to know when their endings were part of a sink's transaction. In: the time or null. Out: how many results.
create or replace function penstock.prune(_at float8) returns integer
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off
as $$
declare
  -- Once: an index is not looked into by what may change from row to row.
  _now constant timestamptz := coalesce(penstock.moment(_at), clock_timestamp());
  _count integer;
begin
  delete from penstock.lease l
  where l.taken_at < clock_timestamp() - interval '1 minute'
    and not exists (
      select from penstock.job j
      where j.state = 0 and j.queue = l.queue and j.rank = l.rank and j.seq between l.first and l.last
        and j.claim = l.claim
      offset 0);
  -- Lines that have been empty for a minute. One that somebody adds to is locked.
  delete from penstock.line where name in (
    select l.name from penstock.line l
    where l.idle_since < coalesce(_at, extract(epoch from clock_timestamp())) - 60
      and not exists (select from penstock.job j where j.state = 0 and j.queue = l.name offset 0)
    for update skip locked);
  delete from penstock.gate where paid_until < coalesce(_at, extract(epoch from clock_timestamp())) - 60;
  delete from penstock.result r
  where r.expires_at <= _now
    and not exists (select from penstock.member m where m.job = r.id offset 0);
  get diagnostics _count = row_count;
  return _count;
end
$$;
