-- End leases, if their claim is in force. In: JSON array of seqs, claim. Rows changed: those that were in force.
delete from penstock_running where seq in (select value from json_each(?1)) and claim = ?2
