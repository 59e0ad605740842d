-- What is limited, and the lines of some queues that are due; see the function. In: queues, at (epoch seconds or null), most (lines).
select now, name, terms, queue, gate, idle_since
from penstock.limited(%(queues)s, %(at)s::float8, %(most)s::integer)
