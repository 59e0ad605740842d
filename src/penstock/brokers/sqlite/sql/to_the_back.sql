-- Give jobs the places that reserve_places took, in the order given; one that has its place in the order of a key keeps it. In: JSON array of seqs, now.
update penstock_job
set run_at = null,
    ready_at = ?2,
    position = (select value - json_array_length(?1) from penstock_meta where name = 'place') + these.key + 1,
    turn = case when turn = 0 then (select value - json_array_length(?1) from penstock_meta where name = 'place') + these.key + 1 else turn end
from json_each(?1) as these
where penstock_job.seq = these.value
