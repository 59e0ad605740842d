-- Count endings. In: the batch, done, failed, retried.
insert into penstock_batch (id, total, done, failed, retried) values (?1, 0, ?2, ?3, ?4)
on conflict (id) do update set done = done + ?2, failed = failed + ?3, retried = retried + ?4
