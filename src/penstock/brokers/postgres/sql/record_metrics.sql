-- Keep a worker's point. In: worker, span, number, at (epoch seconds or null), point.
insert into penstock.metrics (worker, span, number, at, point)
values (%(worker)s, %(span)s, %(number)s, coalesce(%(at)s::float8, extract(epoch from clock_timestamp())::float8), %(point)s)
on conflict (worker, span, number) do update set at = excluded.at, point = excluded.point
