-- A batch's counters have left. In: the batch.
update penstock_batch set total = 0, done = 0, failed = 0, retried = 0, seen = null where id = ?1
