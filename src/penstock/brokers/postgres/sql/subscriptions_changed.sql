-- Note that subscriptions have changed, by a random number: the next one would be given twice where the last was lost in a fail-over.
-- Who changes some at the same time waits here.
insert into penstock.meta (name, value) values ('subscriptions', floor(random() * 2147483647)::integer)
on conflict (name) do update set value = excluded.value
