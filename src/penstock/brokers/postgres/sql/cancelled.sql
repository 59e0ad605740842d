-- The running jobs of a worker that are to be cancelled; see the function. In: worker. Out: process, id.
select process, id from penstock.cancelled(%(worker)s)
