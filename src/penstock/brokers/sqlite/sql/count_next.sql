-- The next queue or line of the ready set. In: the name that it comes after. Out: its name, or no row.
select queue from penstock_ready where queue > ?1 order by queue limit 1
