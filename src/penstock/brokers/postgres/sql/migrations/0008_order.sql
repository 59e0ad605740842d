-- Order per key. Nobody takes any job of a key's line while a claim holds one (its note in `lease` is unique for such a line), nor what is
-- behind one that can't run.

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
