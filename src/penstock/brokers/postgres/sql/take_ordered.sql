-- Take jobs that keep their order; see the function. Out: null, and the jobs, then rows without an id.
select null::integer[], t.*
from penstock.take_ordered(%(queues)s, %(after)s, %(mosts)s, %(worker)s, %(process)s::integer, %(at)s::float8) as t
