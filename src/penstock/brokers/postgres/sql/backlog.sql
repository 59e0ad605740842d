-- What is ready in some queues and may start; see the function. In: queues, most, lines, at (epoch seconds or null). Out: how many, seconds.
select ready, waited from penstock.backlog(%(queues)s, %(most)s::integer, %(lines)s::integer, %(at)s::float8)
