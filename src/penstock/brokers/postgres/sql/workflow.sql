-- A workflow. In: its id, or that of one of its stages. Out: id, name, created_at (epoch seconds).
select id, name, extract(epoch from created_at)::float8 from penstock.workflow
where id = coalesce((select workflow from penstock.stage where id = %(id)s::uuid), %(id)s::uuid)
