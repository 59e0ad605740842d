-- Forget the stages of a workflow. In: its id.
delete from penstock_stage where workflow = ?1
