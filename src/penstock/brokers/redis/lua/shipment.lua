-- A shipment that has left: see ship.lua.
-- uses: base
-- may: only read
-- Keys: the prefix. Arguments: its number.
-- Result: its id, and what is in its lists of jobs, results and counters; false where it was discarded.
local about = call('HGET', p .. 'shipments', ARGV[1])
if not about then return false end
local function whole(name) return call('LRANGE', p .. name .. ':' .. ARGV[1], 0, -1) end
return { sub(about, 1, 16), whole('ship'), whole('shipr'), whole('shipb') }
