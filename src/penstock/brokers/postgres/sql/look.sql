-- Jobs of these queues and lines are ready, or have ended. In: names, due (epoch seconds; null: now).
select penstock.look(%(names)s, coalesce(%(due)s::float8, extract(epoch from clock_timestamp())::float8))
