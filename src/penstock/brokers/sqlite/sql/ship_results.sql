-- Results that have not expired. In: now, how many at most. Out: id, value, expires_at.
select id, value, expires_at from penstock_result where expires_at > ?1 order by expires_at limit ?2
