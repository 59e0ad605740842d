-- Hold lines, but for those that another holds. In: names. Out: name, the claim by which it is held.
with claimed as materialized (select nextval('penstock.claim') as claim)
insert into penstock.lease (claim, queue, rank, first, last, worker, process, taken_at)
select claimed.claim, x.name, 4, 0, 0, '', 0, clock_timestamp() from unnest(%(names)s) as x (name) cross join claimed
order by x.name
on conflict (queue) where penstock.is_ordered(queue) do nothing
returning queue, claim
