-- Take jobs that keep an order out of the ready set. In: JSON array of seqs.
delete from penstock_ready
where (queue, rank, position, seq) in (
  select substr(queue, 2, instr(substr(queue, 2), ',') - 1), 4, turn, seq from penstock_job
  where seq in (select value from json_each(?1)) and turn > 0)
