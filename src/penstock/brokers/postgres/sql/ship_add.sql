-- A shipment leaves. In: the name of the store it is bound for, msgpack of the shipment. Out: its number.
insert into penstock.shipment (bound_for, body) values (%(bound_for)s, %(body)s) returning number
