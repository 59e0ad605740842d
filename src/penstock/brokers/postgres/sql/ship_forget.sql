-- Results have left. In: their ids.
delete from penstock.result where id = any(%(ids)s)
