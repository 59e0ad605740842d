-- In: worker, process. Out: key, whether anything may be limited.
select key, exists (select 1 from penstock_limit) or exists (select 1 from penstock_line) from penstock_holder where worker = ?1 and process = ?2
