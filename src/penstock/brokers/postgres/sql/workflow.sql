-- In: id. Out: name, created_at (epoch seconds).
select name, extract(epoch from created_at)::float8 from penstock.workflow where id = %(id)s::uuid
