-- All schedules, in the order of the names. Out: name, version, next_at, body.
select name, version, next_at, body from penstock.schedule order by name
