-- In: id. Out: total, done, failed, retried.
select total, done, failed, retried from penstock_batch where id = ?1
