-- The jobs behind those at the head of a queue that keep an order, in the order of the heads. In: queue; rank and position of the last head; limit;
-- how many places behind the head to begin and to end.
-- Out: as order_heads, but with whether it has to wait in place of the rank, and no position.
select j.seq, j.turn,
  j.run_at is not null or exists (select 1 from penstock_parked p where p.task = j.task and p.seq = j.seq), null, j.queue
from penstock_ready r
cross join penstock_job h on h.seq = r.seq
cross join penstock_job j on j.line = h.line and j.turn > h.turn + ?5 and j.turn <= h.turn + ?6 and j.turn > 0
where r.queue = ?1 and (r.rank, r.position) <= (?2, ?3) and h.turn > 0
order by r.rank, r.position, r.seq, j.turn
limit ?4
