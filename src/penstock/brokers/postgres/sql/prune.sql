-- Delete what nobody needs any more. In: at (epoch seconds or null). Out: how many results.
select penstock.prune(%(at)s::float8)
