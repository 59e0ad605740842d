-- As end_running, naming those that were in force. In: JSON array of seqs, claim. Out: seq.
delete from penstock_running where seq in (select value from json_each(?1)) and claim = ?2 returning seq
