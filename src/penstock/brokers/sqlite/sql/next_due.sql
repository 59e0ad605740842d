-- Out: when the next delayed job is due, or no row.
select run_at from penstock_delayed order by run_at limit 1
