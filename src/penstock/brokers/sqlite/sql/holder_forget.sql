-- Forget a holder. In: key.
delete from penstock_holder where key = ?1
