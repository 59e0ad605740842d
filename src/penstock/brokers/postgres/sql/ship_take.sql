-- Read jobs that are locked, and delete them. In: ids. Out: the columns of a MovedJob but for `placed`, then whether it keeps its place while it waits.
delete from penstock.job where id = any(%(ids)s)
returning id, task, payload, state, extract(epoch from created_at)::float8, queue, rank, options, attempt, crashes, batch, items, packed, item, at_most_once,
  uniq, extract(epoch from run_at)::float8, extract(epoch from ready_at)::float8, extract(epoch from ended_at)::float8, failure, waits is not null
