-- Store jobs that have a history; one whose id is stored or whose unique key is taken is left out. In: the columns as named.
insert into penstock_job (seq, id, task, payload, created_at, queue, priority, options, attempt, crashes, batch, items, packed, item, at_most_once, uniq, run_at, ready_at, failure, line, turn)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict do nothing
