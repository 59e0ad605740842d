-- Give jobs all their attempts again. In: JSON array of seqs.
update penstock_job set attempt = 0, crashes = 0 where seq in (select value from json_each(?1))
