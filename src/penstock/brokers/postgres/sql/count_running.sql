-- Jobs that run, by their claims. Out: queue, count.
select l.queue, sum(held.jobs)::bigint from penstock.lease l
cross join lateral (
  select count(*) as jobs from penstock.job j
  where j.state = 0 and j.queue = l.queue and j.rank = l.rank and j.seq between l.first and l.last and j.claim = l.claim) as held
where held.jobs > 0
group by 1
