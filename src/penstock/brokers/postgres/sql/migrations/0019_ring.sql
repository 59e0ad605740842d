-- A listener that is told of nothing for a while looks afterwards whether places have been given since. What is ready again gets none: a job that was given back
-- just then waited for the next look, a second at most.

-- Wake the workers, or leave a trace for those who do not listen at the moment. In: as it was.
create or replace function penstock.ring(always boolean, word text) returns void
language plpgsql
as $$
begin
  if not always and pg_try_advisory_lock(hashtext('penstock'), 1) then
    perform pg_advisory_unlock(hashtext('penstock'), 1);
    perform nextval('penstock.place');
  else
    perform pg_notify('penstock', word);
  end if;
end
$$;
