-- All jobs of lines that are held, which have a place in their order, locked. In: names. Out: id, bytes of its payload, its line; by lines and places.
select id, octet_length(payload), queue from penstock.job
where queue = any(%(names)s) and (state = 0 or waits) and claim is null
order by queue, seq
for update
