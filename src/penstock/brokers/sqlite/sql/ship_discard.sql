-- Forget a shipment. In: its number.
delete from penstock_shipment where number = ?1
