-- In: the number of the migration just run.
insert or replace into penstock_meta (name, value) values ('schema', ?1)
