-- Keep a result that came from another store, unless there is one. In: id, value, expires_at.
insert into penstock_result (id, value, expires_at) values (?1, ?2, ?3) on conflict do nothing
