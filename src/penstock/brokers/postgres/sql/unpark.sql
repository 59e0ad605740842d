-- Make the parked jobs of tasks ready again. In: tasks. Out: how many.
select penstock.unpark(%(tasks)s)
