-- Name this store, unless it has a name. In: the name.
insert into penstock.note (name, value) values ('name', %(value)s) on conflict do nothing
