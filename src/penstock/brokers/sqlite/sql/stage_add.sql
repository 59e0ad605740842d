-- Store a stage. In: id, workflow, position, name, rule, state, open, after, takes, wanted, first, started_at.
insert into penstock_stage (id, workflow, position, name, rule, state, open, after, takes, wanted, first, started_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
