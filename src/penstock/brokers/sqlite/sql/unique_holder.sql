-- The job that stands for one with a unique key: itself where it is stored, else the key's holder. In: id, key. Out: id.
select coalesce((select id from penstock_job where id = ?1), (select id from penstock_job where uniq = ?2), ?1)
