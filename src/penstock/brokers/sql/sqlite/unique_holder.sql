-- The job that holds a unique key. In: the key. Out: id.
select id from penstock_job where uniq = ?1
