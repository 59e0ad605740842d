-- Forget a workflow. In: id.
delete from penstock_workflow where id = ?1
