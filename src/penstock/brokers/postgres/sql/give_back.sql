-- Give back what a worker or one of its processes holds. In: worker, process or null, crashed, interrupted. Out: how many jobs.
select penstock.give_back(%(worker)s, %(process)s::integer, -1, %(crashed)s, %(interrupted)s, clock_timestamp())
