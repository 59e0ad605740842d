-- Give all patterns of a handler the same terms.
-- In: group, task, pattern (not used), queue, priority, gate, at_most_once.
update penstock_subscription set queue = ?4, priority = ?5, gate = ?6, at_most_once = ?7
where grp = ?1 and task = ?2
  and (queue, priority, ifnull(gate, ''), at_most_once) is not (?4, ?5, ifnull(?6, ''), ?7)
