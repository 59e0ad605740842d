-- A workflow. In: its id, or that of one of its stages. Out: id, name, created_at.
select id, name, created_at from penstock_workflow where id = coalesce((select workflow from penstock_stage where id = ?1), ?1)
