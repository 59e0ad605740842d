-- The shipments that have left. Out: number, the name of the store it is bound for.
select number, bound_for from penstock.shipment order by number
