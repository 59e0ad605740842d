-- A shipment. In: its number. Out: msgpack of it.
select body from penstock_shipment where number = ?1
