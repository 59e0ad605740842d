-- The counters of batches have left. In: ids.
update penstock.batch set total = 0, done = 0, failed = 0, retried = 0 where id = any(%(ids)s)
