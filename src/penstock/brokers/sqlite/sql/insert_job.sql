-- Store a job; one whose id is stored or whose unique key is taken is left out.
-- In: the columns as named.
insert into penstock_job (seq, id, queue, priority, task, payload, options, attempt, batch, items, packed, item, uniq, at_most_once, run_at, created_at, failure)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict do nothing
