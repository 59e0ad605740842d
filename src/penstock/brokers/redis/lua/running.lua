-- The ids of all jobs that run.
-- uses: base
-- may: only read
-- Keys: the prefix. No arguments. Result: ids.
local found = {}
for _, number in ipairs(call('HKEYS', p .. 'claims')) do
  for _, id in ipairs(call('SMEMBERS', p .. 'c:' .. number)) do found[#found + 1] = id end
end
return found
