-- Make jobs ready by their places, but for those that keep an order. In: JSON array of seqs, of which those that are not stored are left out.
insert into penstock_ready (queue, rank, position, seq)
select j.queue, 9 - j.priority, j.seq, j.seq from json_each(?1) s cross join penstock_job j on j.seq = s.value where j.line is null
