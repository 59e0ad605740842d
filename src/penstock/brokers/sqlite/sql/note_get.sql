-- What is noted of this store. In: which note. Out: its value.
select value from penstock_note where name = ?1
