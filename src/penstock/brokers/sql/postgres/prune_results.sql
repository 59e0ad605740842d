-- Delete expired results. In: at (epoch seconds or null). Rows changed: how many.
delete from penstock.result where expires_at <= coalesce(penstock.moment(%(at)s::float8), clock_timestamp())
