-- Delete memos. In: ids.
delete from penstock.result where id = any(%(ids)s)
