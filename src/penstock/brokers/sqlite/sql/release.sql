-- Put jobs back where they were in the ready set, but for those that keep an order. In: JSON array of seqs.
insert into penstock_ready (queue, rank, position, seq)
select queue, 9 - priority, coalesce(position, seq), seq from penstock_job where seq in (select value from json_each(?1)) and line is null
