-- The jobs that fit, in the order of their ids. In: ids, states, held, queue, task, batch, after, most (each or null). Out: id.
select id from penstock.job
where (%(ids)s::uuid[] is null or id = any(%(ids)s))
  and (%(state)s::smallint is null or state = %(state)s)
  and (%(held)s::boolean is null or (claim is not null) = %(held)s)
  and (%(queue)s::text is null or queue = %(queue)s or (queue >= ',' || %(queue)s || ',' and queue < ',' || %(queue)s || '-'))
  and (%(task)s::text is null or task = %(task)s)
  and (%(batch)s::uuid is null or batch = %(batch)s)
  and (%(after)s::uuid is null or id > %(after)s)
order by id
limit %(most)s
