-- Take jobs. In: where from, how many, and by whom; see the function. Out: null, and the jobs.
select null::integer[], t.* from penstock.take(
  %(queues)s, %(ranks)s, %(lows)s, %(most)s::integer, %(worker)s, %(process)s::integer, %(doubt)s::bigint, %(interrupted)s, %(at)s::float8, null) as t
