-- The stages that jobs are of. In: JSON array of seqs. Out: seq, the stage's state, for those that are of any.
select j.seq, s.state from json_each(?1) k cross join penstock_job j on j.seq = k.value cross join penstock_stage s on s.id = j.batch
