-- Look again at the lines before a gate, after those that have waited longer. In: gate, when.
update penstock_line set due = ?2 where gate = ?1 and due > ?2
