-- Keep a result. In: id, value, expires_at.
insert or replace into penstock_result (id, value, expires_at) values (?1, ?2, ?3)
