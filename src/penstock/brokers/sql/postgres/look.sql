-- Jobs of these queues and lines are ready, or have ended. In: names.
select penstock.look(%(names)s)
