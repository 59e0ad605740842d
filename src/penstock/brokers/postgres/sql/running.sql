-- The jobs that run, by their claims: among all that are in the ready set, each would be looked at. Out: id.
select held.id from penstock.lease l
cross join lateral (
  select j.id from penstock.job j
  where j.state = 0 and j.queue = l.queue and j.rank = l.rank and j.seq between l.first and l.last and j.claim = l.claim
  offset 0) as held
