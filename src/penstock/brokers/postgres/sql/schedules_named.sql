-- The schedules of some names, in the order of the names. In: names. Out: name, version, next_at, body.
select name, version, next_at, body from penstock.schedule where name = any(%(names)s) order by name
