-- Is there work in a queue? In: the queue. Out: a row, or none.
select 1 from penstock_ready where queue = ?1 limit 1
