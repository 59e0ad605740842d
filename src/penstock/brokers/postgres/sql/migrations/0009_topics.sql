-- Who gets the events of which topics: see penstock.core.topics. Each change sets the number `subscriptions` in penstock.meta,
-- by which a publisher knows whether what it has read still holds.

create table penstock.subscription (
  grp text collate "C" not null,
  task text collate "C" not null,
  pattern text collate "C" not null,
  -- How the handler's jobs are stored; the same for all of its patterns.
  queue text not null,
  priority smallint not null,
  gate text,
  at_most_once boolean not null,
  primary key (grp, task, pattern)
);

-- A pattern as a regular expression, for a topic with a dot before it; penstock.core.topics.matches is the same in Python.
create function penstock.topic_expression(pattern text) returns text
language sql immutable
as $$
  select '^' || string_agg(
    case word when '#' then '(?:\.[^.]+)*' when '*' then '\.[^.]+'
              else '\.' || regexp_replace(word, '([][\\^$|?*+(){}-])', '\\\1', 'g') end, '' order by n) || '$'
  from regexp_split_to_table(pattern, '\.') with ordinality as words (word, n)
$$;

-- Publish an event from SQL: triggers, cron, other languages. Out: how many groups get it.
create function penstock.publish(topic text, event jsonb) returns integer
language plpgsql
as $$
#variable_conflict use_variable
declare
  _payload constant bytea := convert_to(jsonb_build_object('topic', topic, 'event', event)::text, 'UTF8');
  _lines text[];
  _groups integer;
begin
  if topic is null or octet_length(topic) > 255 or topic ~ '[[:cntrl:]]' or topic ~ '(^|\.)[*#]?(\.|$)' then
    raise exception 'a topic is words with dots between them, such as orders.filled, not %', left(topic, 300)
      using errcode = 'invalid_parameter_value';
  end if;
  with handlers as (
    select distinct on (s.grp, s.task) s.grp, s.task, s.priority, s.gate, s.at_most_once,
           case when s.gate is null then s.queue else ',' || s.queue || ',' || s.gate end as line
    from penstock.subscription s
    where '.' || topic ~ penstock.topic_expression(s.pattern)
    order by s.grp, s.task, s.pattern
  ), stored as (
    select count(*), penstock.store(
      array_agg((lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
                 || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid),
      array_agg(h.line), array_agg((9 - h.priority)::smallint), array_agg(h.task), array[_payload], null, array[0], null,
      array[1], array[false], null, null, array_agg(h.at_most_once), null, null, null, array[false], false, null, true)
    from handlers h
    having count(*) > 0
  )
  select count(distinct h.grp), array_agg(h.line) filter (where h.gate is not null) into _groups, _lines
  from handlers h left join stored on true;
  if _lines is not null then
    perform penstock.look(_lines);
  end if;
  return _groups;
end
$$;
