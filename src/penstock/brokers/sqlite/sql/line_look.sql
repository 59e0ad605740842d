-- Look at a line at a given time, and no earlier. In: name, queue, gate, due.
insert into penstock_line (name, queue, gate, due) values (?1, ?2, ?3, ?4) on conflict (name) do update set due = excluded.due
