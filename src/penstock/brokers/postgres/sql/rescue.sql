-- Give back the jobs of silent workers. In: dead_after (seconds), interrupted, at (epoch seconds or null). Out: how many jobs.
select penstock.rescue(%(dead_after)s::float8, %(interrupted)s, %(at)s::float8)
