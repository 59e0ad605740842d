-- How large jobs are. In: JSON array of seqs. Out: bytes of the payload, the number of its line where it has a place in that; in the order of the seqs as given.
select length(j.payload), case when j.turn > 0 then j.line end
from json_each(?1) s cross join penstock_job j on j.seq = s.value
order by s.key
