-- Delete expired results, but for those that a stage takes which has not started. In: now.
delete from penstock_result
where expires_at <= ?1
  and (batch is null or not exists (select 1 from penstock_stage where id = penstock_result.batch and wanted > 0))
