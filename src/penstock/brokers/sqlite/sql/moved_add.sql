-- Remember where jobs and batches went. In: their ids in a row, the place, now.
insert into penstock_moved (ids, place, at) values (?1, ?2, ?3)
