-- Is there work in a queue, or in a line of it that is due? In: the queue, now. Out: a row, or none.
select 1 from penstock_ready where queue = ?1 and not exists (select 1 from penstock_line where name = ?1 and due > ?2)
union all
select 1 from penstock_line where queue = ?1 and due <= ?2
limit 1
