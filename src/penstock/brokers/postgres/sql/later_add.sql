-- Jobs that are to be delayed from the start of their stage. In: ids, seconds.
insert into penstock.later (job, delay) select * from unnest(%(ids)s, %(delays)s) on conflict do nothing
