-- Keep a worker's point. In: worker, span, number, at (epoch seconds), point.
insert into penstock_metrics (worker, span, number, at, point) values (?1, ?2, ?3, ?4, ?5)
on conflict (worker, span, number) do update set at = excluded.at, point = excluded.point
