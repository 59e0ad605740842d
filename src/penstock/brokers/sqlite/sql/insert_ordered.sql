-- As insert_job, where some of the jobs keep an order. In: the columns as named.
insert into penstock_job (seq, id, queue, priority, task, payload, options, attempt, batch, items, packed, item, uniq, at_most_once, run_at, created_at, failure, line, turn)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict do nothing
