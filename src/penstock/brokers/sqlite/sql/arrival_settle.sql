-- A shipment need not be remembered for ever. In: its id, now.
update penstock_arrival set settled_at = ?2 where id = ?1 and settled_at is null
