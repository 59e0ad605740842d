-- Delete the counters of batches that had no job at the last look, have none now, and did not change in between; those of workflows go with these.
-- In: now, how many to look at.
delete from penstock_batch
where id in (select id from penstock_batch where look_at <= ?1 order by look_at limit ?2)
  and seen = total + done + failed + retried
  and not exists (select 1 from penstock_job where batch = penstock_batch.id)
  and not exists (select 1 from penstock_stage where id = penstock_batch.id)
