-- Know a line. In: name, queue, gate.
insert into penstock_line (name, queue, gate, due) values (?1, ?2, ?3, 0) on conflict do nothing
