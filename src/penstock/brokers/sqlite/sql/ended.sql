-- Put a job among the ended. In: seq, state, now.
insert into penstock_ended (seq, state, at) values (?1, ?2, ?3)
