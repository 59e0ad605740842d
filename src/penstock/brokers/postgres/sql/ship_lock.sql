-- Let nobody else have a shipment leave before this transaction has ended.
lock table penstock.shipment in share row exclusive mode
