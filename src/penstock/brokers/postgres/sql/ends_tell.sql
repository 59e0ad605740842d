-- Tell those who wait for jobs to end. In: ids; with none, any may have.
select penstock.tell_ended(%(ids)s)
