-- Note that subscriptions have changed; who changes some at the same time waits here.
insert into penstock.meta (name, value) values ('subscriptions', 1) on conflict (name) do update set value = penstock.meta.value + 1
