-- A job that waits is to be delayed from its stage's start. In: its id, seconds.
update penstock_waiting set delay = ?2 where seq = (select seq from penstock_job where id = ?1)
