-- Who holds a unique key. In: key. Out: seq, id, whether it runs.
select j.seq, j.id, exists (select 1 from penstock_running r where r.seq = j.seq) from penstock_job j where j.uniq = ?1
