-- The parked jobs of some tasks. In: JSON array of task names. Out: JSON array of seqs, count.
select json_group_array(seq), count(*) from penstock_parked where task in (select value from json_each(?1))
