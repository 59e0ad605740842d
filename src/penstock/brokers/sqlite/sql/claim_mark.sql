-- Mark the head of a queue as running, up to and with a position. In: holder, claim, queue, rank, position, seq.
insert into penstock_running (seq, holder, claim)
select seq, ?1, ?2 from penstock_ready where queue = ?3 and rank = ?4 and (position, seq) <= (?5, ?6)
