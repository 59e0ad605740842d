-- As select_jobs for jobs that ended, whose set is small. In: state, queue, task, batch, after (each but state or null), limit. Out: seq.
-- `cross` keeps SQLite from going through all jobs instead, for the sake of their order.
select e.seq from penstock_ended e cross join penstock_job j on j.seq = e.seq
where e.state = ?1
  and (?2 is null or j.queue = ?2 or (j.queue >= ',' || ?2 || ',' and j.queue < ',' || ?2 || '-'))
  and (?3 is null or j.task = ?3)
  and (?4 is null or j.batch = ?4)
  and (?5 is null or j.id > ?5)
order by j.id
limit ?6
