-- End leases whatever their claim. In: JSON array of seqs.
delete from penstock_running where seq in (select value from json_each(?1))
