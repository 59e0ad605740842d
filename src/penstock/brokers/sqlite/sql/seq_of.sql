-- In: id. Out: seq.
select seq from penstock_job where id = ?1
