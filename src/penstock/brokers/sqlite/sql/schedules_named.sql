-- The schedules of some names, in the order of the names. In: JSON array of names. Out: name, version, next_at, body.
select name, version, next_at, body from penstock_schedule where name in (select value from json_each(?1)) order by name
