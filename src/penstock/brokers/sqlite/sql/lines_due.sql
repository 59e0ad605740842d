-- The lines of a queue that are due, the longest due first. In: queue, now, limit. Out: name, gate, due.
select name, gate, due from penstock_line where queue = ?1 and due <= ?2 order by due limit ?3
