-- A shipment. In: its number. Out: msgpack of it.
select body from penstock.shipment where number = %(number)s
