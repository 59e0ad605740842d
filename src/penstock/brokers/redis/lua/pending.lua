-- The shipments that have left.
-- uses: base
-- may: only read
-- Keys: the prefix. No arguments.
-- Result: for each its number, and the name of the store it is bound for.
local found, all = {}, call('HGETALL', p .. 'shipments')
for n = 1, #all, 2 do found[#found + 1] = { all[n], sub(all[n + 1], 17) } end
return found
