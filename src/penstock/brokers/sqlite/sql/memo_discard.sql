-- Delete memos. In: JSON array of their ids in hexadecimal.
delete from penstock_result where hex(id) in (select upper(value) from json_each(?1))
