-- Where a job or batch went. In: its id. Out: the place.
select place from penstock_moved where instr(ids, ?1) > 0 order by at desc limit 1
