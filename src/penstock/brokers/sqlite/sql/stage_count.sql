-- The counters of a stage, before any of its jobs has ended. In: id, how many jobs.
insert into penstock_batch (id, total, done, failed, retried) values (?1, ?2, 0, 0, 0)
