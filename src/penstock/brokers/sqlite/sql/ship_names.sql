-- The next queue or line that has ready jobs. In: the name after which to look. Out: its name, or null.
select min(queue) from penstock_ready where queue > ?1
