-- Look again at the lines before a gate. In: gate.
update penstock_line set due = 0 where gate = ?1
