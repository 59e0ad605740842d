-- A result that is kept. In: id, at (epoch seconds or null). Out: value.
select value from penstock.result
where id = %(id)s and expires_at > coalesce(penstock.moment(%(at)s::float8), clock_timestamp())
