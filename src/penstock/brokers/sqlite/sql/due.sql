-- The delayed jobs that are due. In: now, limit. Out: JSON array of seqs, count.
select json_group_array(seq), count(*) from (select seq from penstock_delayed where run_at <= ?1 order by run_at, seq limit ?2)
