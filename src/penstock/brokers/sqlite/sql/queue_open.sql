-- Look again at a limited queue and its lines, after those that have waited longer. In: queue, when.
update penstock_line set due = ?2 where queue = ?1 and due > ?2
