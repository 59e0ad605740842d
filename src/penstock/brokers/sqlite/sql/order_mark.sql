-- Mark jobs as running. In: holder, claim, gate and limited queue or null, JSON array of seqs.
insert into penstock_running (seq, holder, claim, gate, queue, line)
select j.seq, ?1, ?2, case when j.line is null then ?3 end, ?4, j.line
from json_each(?5) as s cross join penstock_job j on j.seq = s.value
