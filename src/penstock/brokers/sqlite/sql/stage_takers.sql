-- In: the stage. Out: how many of its jobs take results.
select count(*) from penstock_job where batch = ?1 and substr(payload, 1, 1) = x'83'
