-- Note that a shipment has arrived. In: its id. Out: the id, unless it had arrived before.
insert into penstock.arrival (id) values (%(id)s::uuid) on conflict do nothing returning id
