-- In: number of the migration just run.
insert into penstock.meta (name, value) values ('schema', %(number)s) on conflict (name) do update set value = excluded.value
