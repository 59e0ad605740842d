-- When lines are due. In: the time of the last look, and of this one. Out: how many seconds from now the next is or null, whether any has
-- fallen due since, and whether any is.
select (select min(due) - ?2 from penstock_line where due > ?2),
  exists (select 1 from penstock_line where due > ?1 and due <= ?2), exists (select 1 from penstock_line where due <= ?2)
