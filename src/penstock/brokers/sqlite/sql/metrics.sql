-- The points of a span that ended after a time, oldest first. In: span, epoch seconds. Out: worker, at, point.
select worker, at, point from penstock_metrics where span = ?1 and at > ?2 order by at, worker, number
