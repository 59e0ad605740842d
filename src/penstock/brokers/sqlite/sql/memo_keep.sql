-- Keep a memo of a job whose lease is in force. In: id, value, expires_at, the job's seq, claim.
insert or replace into penstock_result (id, value, expires_at)
select ?1, ?2, ?3 where exists (select 1 from penstock_running where seq = ?4 and claim = ?5)
