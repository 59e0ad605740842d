-- Delete the notes of claims that hold nothing any more, which their holder does not get to know when their endings
-- were part of a sink's transaction.
delete from penstock.lease l
where l.taken_at < clock_timestamp() - interval '1 minute'
  and not exists (
    select from penstock.job j
    where j.state = 0 and j.queue = l.queue and j.rank = l.rank and j.seq between l.first and l.last and j.claim = l.claim)
