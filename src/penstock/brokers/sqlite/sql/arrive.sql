-- Note that a shipment has arrived. In: its id. Rows changed: 0 where it had arrived before.
insert into penstock_arrival (id) values (?1) on conflict do nothing
