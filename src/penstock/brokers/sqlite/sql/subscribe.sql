-- Keep a subscription; one that is there takes on these terms.
-- In: group, task, pattern, queue, priority, gate, at_most_once.
insert into penstock_subscription (grp, task, pattern, queue, priority, gate, at_most_once)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
on conflict (grp, task, pattern) do nothing
