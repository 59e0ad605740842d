-- Count endings, and items that joined later. In: the batch, done, failed, retried, total. Out: 1 where all have ended.
insert into penstock_batch (id, total, done, failed, retried) values (?1, ?5, ?2, ?3, ?4)
on conflict (id) do update set done = done + ?2, failed = failed + ?3, retried = retried + ?4, total = total + ?5
returning done + failed >= total
