-- Note how batches stand, for the next look at them. In: now, how many to look at, seconds until the next look.
update penstock_batch
set look_at = ?1 + ?3,
    seen = case when not exists (select 1 from penstock_job where batch = penstock_batch.id)
                then total + done + failed + retried end
where id in (select id from penstock_batch where look_at <= ?1 order by look_at limit ?2)
