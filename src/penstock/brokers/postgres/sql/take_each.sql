-- Take jobs of queues and lines, up to a number from each; see the function. Out: null, and the jobs.
select null::integer[], t.*
from penstock.take_each(%(names)s, %(mosts)s, %(worker)s, %(process)s::integer, %(at)s::float8) as t
