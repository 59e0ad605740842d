-- What is ready in some queues and may start; see the function. In: queues, ranks and lows side by side, most, lines, at (epoch seconds or null). Out: how many, seconds,
-- the next lows, whether much was in the way.
select ready, waited, lows, far
from penstock.backlog_after(%(queues)s, %(ranks)s, %(lows)s, %(most)s::integer, %(lines)s::integer, %(at)s::float8)
