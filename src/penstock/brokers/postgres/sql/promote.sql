-- Make delayed jobs that are due ready; see the function. In: at (epoch seconds or null), most, start (epoch seconds or null). Out: how many, seconds until the next, from when
-- on the next look may begin, whether much was in the way.
select moved, next_in, next_from, far from penstock.promote_from(%(at)s::float8, %(most)s::integer, %(start)s::float8)
