-- What is left to leave.
-- uses: base record ready
-- may: only read
-- Keys: the prefix. Arguments: now or ''; queues (msgpack list), or '' for all.
-- Result: how many jobs could leave, with results and counters; how many jobs could not.
local now, all, runs, movable, held = time(ARGV[1]), ARGV[2] == '', {}, 0, 0
for _, number in ipairs(call('HKEYS', p .. 'claims')) do
  for _, rec in ipairs(fetch('HMGET', p .. 'jobs', call('SMEMBERS', p .. 'c:' .. number))) do
    if rec then
      local _, _, queue = cmsgpack.unpack_limit(rec, 2, BODY - 1)
      runs[queue] = (runs[queue] or 0) + 1
    end
  end
end
local queues = all and call('HKEYS', p .. 'queues') or cmsgpack.unpack(ARGV[2])
if all then
  for queue in pairs(runs) do
    if call('HEXISTS', p .. 'queues', queue) == 0 then queues[#queues + 1] = queue end
  end
end
for _, queue in ipairs(queues) do
  local waiting = depth(queue)
  for state, key in pairs(COUNTED) do
    if state ~= WAITING then waiting = waiting + (call('HGET', p .. key, queue) or 0) end
  end
  local behind = 0
  for _, gate in ipairs(call('SMEMBERS', p .. 'ol:' .. queue)) do
    local line = line_of(queue, gate)
    if exists('oh:' .. line) then behind = behind + call('ZCARD', p .. 'o:' .. line) - call('SCARD', p .. 'oh:' .. line) end
  end
  movable, held = movable + waiting - behind, held + behind + (runs[queue] or 0)
end
if all then movable = movable + call('ZCOUNT', p .. 'expiry', '(' .. string.format('%.17g', now), '+inf') end
for _, batch in ipairs(call('ZRANGE', p .. 'batches', 0, -1)) do
  local told = call('HMGET', p .. 'b:' .. batch, 'total', 'done', 'failed', 'retried')
  local total, others = tonumber(told[1] or 0), (told[2] or 0) + (told[3] or 0) + (told[4] or 0)
  if (total ~= 0 and all and not exists('bj:' .. batch)) or (total == 0 and others ~= 0) then movable = movable + 1 end
end
return { movable, held }
