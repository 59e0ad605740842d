-- Store a workflow, unless it is stored. In: id, name, now.
insert into penstock_workflow (id, name, created_at, look_at) values (?1, ?2, ?3, ?3) on conflict do nothing
