-- A worker lives. In: id, info, at (epoch seconds or null).
insert into penstock.worker (id, info, beat) values (%(id)s, %(info)s, coalesce(penstock.moment(%(at)s::float8), clock_timestamp()))
on conflict (id) do update set info = excluded.info, beat = excluded.beat
