-- The schedules that are due, those first that have been so for longest. In: now, limit. Out: name, version, next_at, body.
select name, version, next_at, body from penstock_schedule where next_at <= ?1 order by next_at limit ?2
