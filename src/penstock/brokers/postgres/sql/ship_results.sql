-- Results that have not expired, locked. In: how many at most, the time or null. Out: id, value, expires_at.
select id, value, extract(epoch from expires_at)::float8 from penstock.result
where expires_at > coalesce(penstock.moment(%(at)s), clock_timestamp())
order by expires_at
limit %(most)s
for update skip locked
