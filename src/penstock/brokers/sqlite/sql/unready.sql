-- Take jobs out of the ready set, but for those that keep an order. In: JSON array of seqs.
delete from penstock_ready
where (queue, rank, position, seq) in (
  select queue, 9 - priority, coalesce(position, seq), seq from penstock_job where seq in (select value from json_each(?1)) and line is null)
