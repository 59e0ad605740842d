-- Store a plain job. In: its columns; see the function. Out: nothing.
select penstock.store_one(
  %(id)s, %(queue)s, %(rank)s, %(task)s, %(payload)s, %(options)s, %(once)s, %(at)s::float8, %(always)s)
