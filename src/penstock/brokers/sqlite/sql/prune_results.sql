-- Delete expired results. In: now.
delete from penstock_result where expires_at <= ?1
