-- Jobs wait for their stages no longer. In: JSON array of seqs.
delete from penstock_waiting where seq in (select value from json_each(?1))
