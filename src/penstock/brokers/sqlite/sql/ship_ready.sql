-- The ready jobs of a queue or line that keep no order, by their places. In: its name, how many at most. Out: seq.
select r.seq from penstock_ready r join penstock_job j on j.seq = r.seq
where r.queue = ?1 and j.line is null
order by r.rank, r.position, r.seq
limit ?2
