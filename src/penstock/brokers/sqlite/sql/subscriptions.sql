-- Out: every subscription, in the order of the keys: group, task, pattern, queue, priority, gate, at_most_once.
select grp, task, pattern, queue, priority, gate, at_most_once from penstock_subscription order by grp, task, pattern
