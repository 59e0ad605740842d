-- Put jobs among the ended. In: JSON array of seqs, state, now.
insert into penstock_ended (seq, state, at) select value, ?2, ?3 from json_each(?1)
