-- The ready jobs of a queue or line by their places, locked. In: its name, how many at most. Out: id, bytes of its payload, null.
select id, octet_length(payload), null::text from penstock.job
where state = 0 and queue = %(line)s and claim is null
order by rank, seq
limit %(most)s
for update skip locked
