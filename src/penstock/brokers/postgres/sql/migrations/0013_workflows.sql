-- Workflows: stages of jobs that wait for one another, see penstock.core.workflow. A stage is a batch; whatever changes the counters of one, a trigger
-- settles what follows. Jobs that wait have state -1.
--
-- Whoever holds a stage's row may start or stop it. Rows are locked in this order: jobs that run, batches, stages, jobs that wait.

create table penstock.workflow (
  id uuid primary key,
  name text not null,
  created_at timestamptz not null,
  look_at timestamptz not null     -- when to see next whether it ended long ago
);
create index workflow_look on penstock.workflow (look_at);

create table penstock.stage (
  id uuid primary key,             -- of its batch
  workflow uuid not null,
  position integer not null,       -- in its workflow; what it waits for comes before it
  name text not null,
  rule smallint not null,
  state text collate "C" not null, -- waiting, started, cancelled or skipped
  open integer not null,           -- how many stages it still waits for
  after bytea not null,            -- the ids of those that it waits for at first, 16 bytes each
  takes bytea not null,            -- the ids of those whose results its jobs take, 16 bytes each, in order
  first uuid,                      -- its first job
  started_at timestamptz,
  ended_at timestamptz,
  reason text                      -- why it was cancelled
) with (fillfactor = 50);
create unique index stage_workflow on penstock.stage (workflow, position);
create index stage_open on penstock.stage (workflow) where ended_at is null;

-- Who still waits for which batch.
create table penstock.edge (
  batch uuid not null,
  stage uuid not null,
  primary key (batch, stage)
);
create index edge_stage on penstock.edge (stage);

-- The jobs of stages whose results others take, which are not known by their rows once they have ended.
create table penstock.member (
  stage uuid not null,
  job uuid not null,
  primary key (stage, job)
);

-- Jobs that are to be delayed from the start of their stage: seconds.
create table penstock.later (
  job uuid primary key,
  delay float8 not null
);

create or replace view penstock.jobs as
select j.id, j.task, (case when penstock.gate_of(j.queue) is null then j.queue else split_part(j.queue, ',', 2) end) collate "C" as queue, 9 - j.rank as priority,
       case j.state when 0 then case when j.claim is null then 'ready' else 'running' end
                    when -1 then 'waiting' when 1 then 'delayed' when 2 then 'parked' when 3 then 'dead' else 'cancelled' end as state,
       j.attempt, j.crashes, j.items, j.batch, j.uniq, j.created_at, j.run_at, j.ended_at, l.worker, l.process
from penstock.job j
left join penstock.lease l on l.claim = j.claim and l.queue = j.queue and l.rank = j.rank;

-- The ids that are stored side by side.
create function penstock.ids_of(_ids bytea) returns uuid[]
language sql immutable strict parallel safe
as $$ select array(select encode(substr(_ids, n * 16 + 1, 16), 'hex')::uuid from generate_series(0, length(_ids) / 16 - 1) as n order by n) $$;

-- A text as msgpack, and a text in msgpack at a place (from 1), with the place behind it.
create function penstock.packed_text(_text text) returns bytea
language sql immutable strict parallel safe
as $$ select '\xdb'::bytea || int4send(octet_length(convert_to(_text, 'UTF8'))) || convert_to(_text, 'UTF8') $$;

create function penstock.unpacked_text(_data bytea, _place integer, out said text, out next integer)
language plpgsql immutable strict parallel safe
as $$
declare
  _kind constant integer := get_byte(_data, _place - 1);
  _size integer;
begin
  case _kind
    when 217 then _size := get_byte(_data, _place); next := _place + 2;
    when 218 then _size := get_byte(_data, _place) * 256 + get_byte(_data, _place + 1); next := _place + 3;
    when 219 then
      _size := get_byte(_data, _place) * 16777216 + get_byte(_data, _place + 1) * 65536 + get_byte(_data, _place + 2) * 256 + get_byte(_data, _place + 3);
      next := _place + 5;
    else _size := _kind - 160; next := _place + 1;
  end case;
  said := convert_from(substr(_data, next, _size), 'UTF8');
  next := next + _size;
end
$$;

-- A failure as it is stored: msgpack of {kind, message, traceback}.
create function penstock.failure(_kind text, _message text) returns bytea
language sql immutable strict parallel safe
as $$
select '\x83'::bytea || penstock.packed_text('kind') || penstock.packed_text(_kind) || penstock.packed_text('message') || penstock.packed_text(_message)
       || penstock.packed_text('traceback') || penstock.packed_text('')
$$;

-- Why those are cancelled that wait for a stage: as penstock.core.workflow.why.
create function penstock.why(_stage uuid, _name text) returns text
language plpgsql
as $$
declare
  _job record;
  _kind record;
  _message record;
begin
  select failure, state into _job from penstock.job where batch = _stage and state >= 3 order by state, id limit 1;
  if not found or _job.failure is null then
    return _name || ' was cancelled';
  end if;
  -- Behind the map's own byte stand the names and the texts, in this order.
  _kind := penstock.unpacked_text(_job.failure, (penstock.unpacked_text(_job.failure, 2)).next);
  _message := penstock.unpacked_text(_job.failure, (penstock.unpacked_text(_job.failure, _kind.next)).next);
  if _job.state = 3 then
    return _name || ' failed: ' || _kind.said || case when _message.said <> '' then ': ' || _message.said else '' end;
  end if;
  return case when _kind.said = 'Cancelled' then _message.said else _name || ' was cancelled' end;
end
$$;

-- A stage that waits will not start. In: the stage, cancelled or skipped, the reason or null, the time.
create function penstock.stop_stage(_stage uuid, _state text, _reason text, _now timestamptz) returns void
language plpgsql
as $$
begin
  delete from penstock.edge where stage = _stage;
  update penstock.stage set state = _state, open = 0, ended_at = _now, reason = _reason where id = _stage;
  if _state = 'skipped' then
    delete from penstock.job where batch = _stage and state = -1;
  else
    update penstock.job set state = 4, uniq = null, run_at = null, ended_at = _now, failure = penstock.failure('Cancelled', _reason)
    where batch = _stage and state = -1;
    perform penstock.tell_ended('{}');
  end if;
end
$$;

-- A stage starts. In: the stage, the batch that has it start, bytes that a job and a stage are handed at most, the time. Out: whether it has jobs to run, or was
-- cancelled, and is to be settled itself.
create function penstock.start_stage(_stage uuid, _trigger uuid, _most bigint, _together bigint, _now timestamptz) returns boolean
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
  update penstock.result set expires_at = least(expires_at, _now + interval '1 day')
  where id in (select m.job from penstock.member m where m.stage = any(penstock.ids_of(_own.takes)));
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

-- Counters of batches have changed: see to the stages that wait for them, as penstock.core.workflow.answer says. In: batches, the time.
create function penstock.settle(_batches uuid[], _now timestamptz) returns void
language plpgsql
as $$
declare
  _left uuid[] := _batches;
  _place integer := 1;
  _own record;
  _waits record;
  _told text;
begin
  while _place <= cardinality(_left) loop
    select s.id, s.name, s.state, s.ended_at, b.total, b.done, b.failed into _own
    from penstock.stage s join penstock.batch b on b.id = s.id where s.id = _left[_place];
    _place := _place + 1;
    continue when not found;
    _told := case when _own.state = 'skipped' then 'skipped' when _own.state = 'cancelled' then 'failed'
                  when _own.state = 'waiting' then case when _own.failed > 0 then 'failing' else 'open' end
                  when _own.done + _own.failed >= _own.total then case when _own.failed > 0 then 'failed' else 'done' end
                  when _own.failed > 0 then 'failing' else 'open' end;
    continue when _told = 'open';
    if _told <> 'failing' and _own.ended_at is null then
      update penstock.stage set ended_at = _now where id = _own.id;
    end if;
    for _waits in
      select s.id, s.rule, s.open from penstock.edge e join penstock.stage s on s.id = e.stage
      where e.batch = _own.id and s.state = 'waiting' order by s.position for update of s
    loop
      if _waits.rule = 1 and _told = 'failing' then
        continue;
      elsif _waits.rule = 0 and _told in ('failing', 'failed') then
        perform penstock.stop_stage(_waits.id, 'cancelled', penstock.why(_own.id, _own.name), _now);
        _left := _left || _waits.id;
      elsif _waits.rule = 0 and _told = 'skipped' then
        perform penstock.stop_stage(_waits.id, 'skipped', null, _now);
        _left := _left || _waits.id;
      elsif _waits.rule = 2 and _told in ('failing', 'failed') then
        if penstock.start_stage(_waits.id, _own.id, 8388608, 67108864, _now) then
          _left := _left || _waits.id;
        end if;
      elsif _waits.open > 1 then
        delete from penstock.edge where batch = _own.id and stage = _waits.id;
        update penstock.stage set open = open - 1 where id = _waits.id;
      elsif _waits.rule = 2 then
        perform penstock.stop_stage(_waits.id, 'skipped', null, _now);
        _left := _left || _waits.id;
      elsif penstock.start_stage(_waits.id, _own.id, 8388608, 67108864, _now) then
        _left := _left || _waits.id;
      end if;
    end loop;
  end loop;
end
$$;

create function penstock.settle_batch() returns trigger
language plpgsql
as $$
begin
  perform penstock.settle(array[new.id], coalesce(penstock.moment(nullif(current_setting('workflow.at', true), '')::float8), clock_timestamp()));
  return null;
end
$$;

create trigger settle after update on penstock.batch
for each row when (new.done + new.failed >= new.total or new.failed > old.failed)
execute function penstock.settle_batch();
