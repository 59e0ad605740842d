-- Telling those who wait for jobs to end. They hold a lock, and listen at a channel of their own: "penstock:ends".

-- Tell them, where there are any, when this commits. In: ids of jobs that may have ended for good; with none, any may have.
create function penstock.tell_ended(_ids uuid[]) returns void
language plpgsql
as $$
begin
  if pg_try_advisory_lock(hashtext('penstock'), 2) then
    perform pg_advisory_unlock(hashtext('penstock'), 2);
  else
    -- A notification has room for 8,000 bytes.
    perform pg_notify('penstock' || ':ends', case when cardinality(_ids) between 1 and 240
                      then (select string_agg(replace(x::text, '-', ''), '') from unnest(_ids) as x) else '' end);
  end if;
end
$$;
