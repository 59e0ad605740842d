-- Make delayed jobs that are due ready. In: at (epoch seconds or null), most. Out: how many, seconds until the next.
select moved, next_in from penstock.promote(%(at)s::float8, %(most)s::integer)
