-- As select_jobs, of one batch. In: state, queue, task, batch, after (each but batch or null), limit. Out: seq.
select seq from penstock_record
where batch = ?4
  and (?1 is null or state = ?1)
  and (?2 is null or queue = ?2 or (queue >= ',' || ?2 || ',' and queue < ',' || ?2 || '-'))
  and (?3 is null or task = ?3)
  and (?5 is null or id > ?5)
order by id
limit ?6
