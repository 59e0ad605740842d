-- Keep a result. In: id, value, expires_at, its stage where it is handed on, or null.
insert or replace into penstock_result (id, value, expires_at, batch) values (?1, ?2, ?3, ?4)
