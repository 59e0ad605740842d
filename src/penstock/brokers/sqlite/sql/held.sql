-- What a holder holds. In: the holder's key. Out: seq, id, at_most_once, cancelled, batch, items, gate, limited queue, number of the line whose order it keeps.
select r.seq, j.id, j.at_most_once, r.cancelled, j.batch, j.items, r.gate, r.queue, r.line
from penstock_running r join penstock_job j on j.seq = r.seq where r.holder = ?1
