-- Take the head of a queue out of the ready set, up to and with a position. In: queue, rank, position, seq.
delete from penstock_ready where queue = ?1 and rank = ?2 and (position, seq) <= (?3, ?4)
