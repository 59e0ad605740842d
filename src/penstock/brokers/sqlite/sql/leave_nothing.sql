-- Jobs are deleted of stages whose results others take: each leaves nil, which keeps its place among the results and is never seen elsewhere. In: JSON array of seqs.
insert or ignore into penstock_result (id, value, expires_at, batch)
select j.id, x'c0', 0, j.batch
from json_each(?1) k cross join penstock_job j on j.seq = k.value cross join penstock_stage s on s.id = j.batch
where s.wanted > 0
