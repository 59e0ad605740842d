-- The leases of a process that are in force.
-- uses: base record leases
-- may: only read
-- Keys: the prefix. Arguments: worker; process.
-- Result: for each claim its number, the ids, the records, and for each whether a limit of its queue counts it (1 or 0).
local found = {}
for _, number in ipairs(call('SMEMBERS', p .. 'h:' .. ARGV[1])) do
  local _, process = holder_of(number)
  if process == ARGV[2] then
    local ids = call('SMEMBERS', p .. 'c:' .. number)
    local recs, there, kept, counted = fetch('HMGET', p .. 'jobs', ids), {}, {}, {}
    for n, id in present(ids, recs) do
      local _, _, queue = cmsgpack.unpack_limit(recs[n], 2, BODY - 1)
      there[#there + 1], kept[#kept + 1] = id, recs[n]
      counted[#there] = call('SISMEMBER', p .. 'g:,' .. queue, id)
    end
    found[#found + 1] = { number, there, kept, counted }
  end
end
return found
