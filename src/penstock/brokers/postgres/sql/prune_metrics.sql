-- Delete the points of a span that are too old, or from before the clock was set back. In: span, seconds to keep, seconds that one may be ahead, at (epoch seconds or null).
delete from penstock.metrics m using (
  select coalesce(%(at)s::float8, extract(epoch from clock_timestamp())::float8) as now) as n
where m.span = %(span)s and (m.at < n.now - %(kept)s::float8 or m.at > n.now + %(ahead)s::float8)
