-- As select_jobs, among given ones. In: state, queue, task, batch, after (each or null), limit, JSON array of seqs. Out: seq.
select seq from penstock_record
where seq in (select value from json_each(?7))
  and (?1 is null or state = ?1)
  and (?2 is null or queue = ?2 or (queue >= ',' || ?2 || ',' and queue < ',' || ?2 || '-'))
  and (?3 is null or task = ?3)
  and (?4 is null or batch = ?4)
  and (?5 is null or id > ?5)
order by id
limit ?6
