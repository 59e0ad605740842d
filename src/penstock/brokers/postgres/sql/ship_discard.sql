-- Forget a shipment. In: its number.
delete from penstock.shipment where number = %(number)s
