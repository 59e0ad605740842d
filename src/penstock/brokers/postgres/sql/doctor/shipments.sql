-- How many shipments have left and not arrived. Out: how many.
select count(*) from "penstock".shipment
