-- A result that is kept. In: id, now. Out: value.
select value from penstock_result where id = ?1 and expires_at > ?2
