-- The points of a span that ended after a time, oldest first. In: span, since (epoch seconds). Out: worker, at, point.
select worker, at, point from penstock.metrics where span = %(span)s and at > %(since)s::float8 order by at, worker, number
