-- Of these jobs, those that are not running. In: JSON array of seqs. Out: JSON array of seqs.
select json_group_array(value) from json_each(?1) where value not in (select seq from penstock_running)
