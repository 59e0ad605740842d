-- Shipments need not be remembered for ever, and some need no longer be. In: their ids, for how many seconds they are remembered, the time or null.
with forgotten as (delete from penstock.arrival where settled_at < coalesce(penstock.moment(%(at)s), clock_timestamp()) - make_interval(secs => %(remembered)s))
update penstock.arrival set settled_at = coalesce(penstock.moment(%(at)s), clock_timestamp()) where id = any(%(ids)s) and settled_at is null
