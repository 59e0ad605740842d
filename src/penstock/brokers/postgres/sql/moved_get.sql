-- Where a job or batch went. In: its id. Out: the place.
select place from penstock.moved where position(%(id)s::bytea in ids) > 0 order by at desc limit 1
