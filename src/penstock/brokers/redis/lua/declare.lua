-- Set limits, and lift others.
-- uses: base ring
-- may: write when memory is full (a worker begins with it)
-- Keys: the prefix. Arguments: for each its name and its terms (msgpack [seconds each, concurrency, at once, together]), or '' to lift it.
-- Those that are as they were change nothing.
local changed = false
for n = 1, #ARGV, 2 do
  local name, terms = ARGV[n], ARGV[n + 1]
  if (call('HGET', p .. 'limits', name) or '') ~= terms then
    changed = true
    -- A limit that has changed starts anew: what was paid for by the old one says nothing.
    for _, gate in ipairs(call('HKEYS', p .. 'paid')) do
      if gate == name or sub(gate, 1, #name + 1) == name .. ',' then call('HDEL', p .. 'paid', gate) end
    end
    if terms == '' then call('HDEL', p .. 'limits', name) else call('HSET', p .. 'limits', name, terms) end
  end
end
if changed then
  local queues = call('HGETALL', p .. 'queues')
  for n = 1, #queues, 2 do
    if find(queues[n + 1], 'L', 1, true) then
      local due = p .. 'due:' .. queues[n]
      for _, line in ipairs(call('ZRANGE', due, 0, -1)) do call('ZADD', due, 0, line) end
    end
  end
  ring()
end
