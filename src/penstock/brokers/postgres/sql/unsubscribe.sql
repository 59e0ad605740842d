-- Forget a subscription. In: grp, task, pattern.
delete from penstock.subscription where grp = %(grp)s and task = %(task)s and pattern = %(pattern)s
