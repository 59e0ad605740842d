-- A shipment leaves. In: the name of the store it is bound for, msgpack of the shipment. Out: its number.
insert into penstock_shipment (bound_for, body) values (?1, ?2) returning number
