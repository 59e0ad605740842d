-- In: id. Out: name, created_at.
select name, created_at from penstock_workflow where id = ?1
