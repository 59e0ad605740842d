-- How many jobs of each queue are in each state.
-- uses: base record ready
-- may: only read
-- Keys: the prefix. No arguments.
-- Result: for each queue its name, and how many are ready, running, delayed, parked, dead and waiting.
local found, runs = {}, {}
for _, number in ipairs(call('HKEYS', p .. 'claims')) do
  for _, rec in ipairs(fetch('HMGET', p .. 'jobs', call('SMEMBERS', p .. 'c:' .. number))) do
    if rec then
      local _, _, queue = cmsgpack.unpack_limit(rec, 2, BODY - 1)
      runs[queue] = (runs[queue] or 0) + 1
    end
  end
end
local queues = call('HKEYS', p .. 'queues')
for queue in pairs(runs) do
  if call('HEXISTS', p .. 'queues', queue) == 0 then queues[#queues + 1] = queue end
end
for _, queue in ipairs(queues) do
  local function kept(state) return tonumber(call('HGET', p .. COUNTED[state], queue) or 0) end
  found[#found + 1] = { queue, depth(queue), runs[queue] or 0, kept(DELAYED), kept(PARKED), kept(DEAD), kept(WAITING) }
end
return found
