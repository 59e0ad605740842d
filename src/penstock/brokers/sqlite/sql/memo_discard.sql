-- Delete a memo. In: id.
delete from penstock_result where id = ?1
