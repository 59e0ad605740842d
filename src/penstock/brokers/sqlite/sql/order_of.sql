-- The lines of jobs that keep an order. In: JSON array of seqs. Out: JSON array of the numbers of lines.
select json_group_array(distinct line) from penstock_job where seq in (select value from json_each(?1)) and line is not null
