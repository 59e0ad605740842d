-- Out: when the next schedule is due that is not due yet, or no row. In: now.
select next_at from penstock_schedule where next_at > ?1 order by next_at limit 1
