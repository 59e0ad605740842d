-- Take jobs out of the ended. In: JSON array of seqs.
delete from penstock_ended where seq in (select value from json_each(?1))
