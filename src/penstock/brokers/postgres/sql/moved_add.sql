-- Remember where jobs and batches went, and forget where others went long ago. In: their ids in a row, the place, for how many seconds it is remembered.
with forgotten as (delete from penstock.moved where at < clock_timestamp() - make_interval(secs => %(remembered)s))
insert into penstock.moved (ids, place, at) values (%(ids)s, %(place)s, clock_timestamp())
