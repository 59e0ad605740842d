-- Note why jobs failed. In: JSON array of seqs, the failure.
update penstock_job set failure = ?2 where seq in (select value from json_each(?1))
