-- Take jobs that are due out of the delayed, whatever their own rows say. In: JSON array of seqs, now.
delete from penstock_delayed where run_at <= ?2 and seq in (select value from json_each(?1))
