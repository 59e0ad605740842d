-- Look again at a limited queue and its lines. In: queue.
update penstock_line set due = 0 where queue = ?1
