-- Store jobs. In: the columns of jobs; see the function. Out: null, or the ids that stand for the jobs.
select penstock.store(
  %(ids)s, %(queues)s, %(ranks)s, %(tasks)s, %(payloads)s, %(options)s, %(attempts)s, %(batches)s, %(items)s, %(packed)s,
  %(item)s, %(keys)s, %(once)s, %(run_ats)s, %(delays)s, %(failures)s, %(dead)s, %(grow)s, %(at)s::float8, %(always)s)
