-- Forget a subscription.
-- In: group, task, pattern.
delete from penstock_subscription where grp = ?1 and task = ?2 and pattern = ?3
