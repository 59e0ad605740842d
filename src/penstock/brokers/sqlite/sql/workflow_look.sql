-- When to look at a workflow next. In: id, when.
update penstock_workflow set look_at = ?2 where id = ?1
