-- Keep a schedule, unless there is one of its name. In: name, version, next_at, body.
insert into penstock_schedule (name, version, next_at, body) values (?1, ?2, ?3, ?4) on conflict do nothing
