-- The leases of one process; see the function. In: worker, process. Out: null, then as take.
select null::integer[], t.* from penstock.held(%(worker)s, %(process)s::integer) as t
