-- Make the jobs after a seq dead letters. In: the seq, now.
insert into penstock_ended (seq, state, at)
select seq, 'dead', ?2 from penstock_job where seq > ?1
