-- As claim_mark, for jobs that are limited. In: holder, claim, queue, rank, position, seq, gate and limited queue or null.
insert into penstock_running (seq, holder, claim, gate, queue)
select seq, ?1, ?2, ?7, ?8 from penstock_ready where queue = ?3 and rank = ?4 and (position, seq) <= (?5, ?6)
