-- Keep results that came from another store, unless there are some. In: ids, values, expires_ats (epoch seconds).
insert into penstock.result (id, value, expires_at)
select x.id, x.value, penstock.moment(x.expires_at)
from unnest(%(ids)s::uuid[], %(values)s::bytea[], %(expires_ats)s::float8[]) as x (id, value, expires_at)
on conflict do nothing
