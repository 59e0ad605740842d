-- A notification for a plain job says so: whoever hears it need not look for what is due sooner now, or for what was asked of it.

-- Wake the workers, as `ring` did by itself. In: send it also where nobody listens; what the notification says.
create function penstock.ring(always boolean, word text) returns void
language plpgsql
as $$
begin
  if not always and pg_try_advisory_lock(hashtext('penstock'), 1) then
    perform pg_advisory_unlock(hashtext('penstock'), 1);
  else
    perform pg_notify('penstock', word);
  end if;
end
$$;

create or replace function penstock.ring(always boolean default false) returns void
language plpgsql
as $$
begin
  perform penstock.ring(always, '');
end
$$;

create or replace function penstock.store_one(
  _id uuid, _queue text, _rank smallint, _task text, _payload bytea, _options bytea, _once boolean, _at float8, _always boolean
) returns void
language plpgsql
as $$
begin
  insert into penstock.job (id, queue, rank, state, task, payload, options, attempt, items, packed, at_most_once, created_at)
  values (_id, _queue, _rank, 0, _task, _payload, _options, 0, 1, false, _once, coalesce(penstock.moment(_at), clock_timestamp()))
  on conflict do nothing;
  if found then
    perform penstock.ring(_always, 'ready');
  end if;
end
$$;
