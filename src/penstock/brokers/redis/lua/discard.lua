-- Forget a shipment that has arrived.
-- uses: base
-- may: write when memory is full
-- Keys: the prefix. Arguments: its number. Result: nothing.
call('HDEL', p .. 'shipments', ARGV[1])
for _, name in ipairs({ 'ship', 'shipr', 'shipb' }) do call('UNLINK', p .. name .. ':' .. ARGV[1]) end
