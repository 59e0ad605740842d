-- What is noted of this store. In: which note. Out: its value.
select value from penstock.note where name = %(which)s
