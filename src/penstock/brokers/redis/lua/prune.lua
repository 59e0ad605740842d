-- Delete results that have expired, names of queues that are empty, the counters of batches that have had no job for long, gates at which all is paid for, old points.
-- uses: base record ready
-- may: write when memory is full
-- Keys: the prefix. Arguments: now or ''; how many results to delete and batches to look at, at most; seconds until the next look at each; seconds by which a point may be ahead;
-- then for each span of points it and
-- for how many seconds they are kept.
-- Result: how many results it were: where it is as many as may be, there may be more.
local now, expired = time(ARGV[1]), 0
local exact = string.format('%.17g', now)
local ids = call('ZRANGEBYSCORE', p .. 'expiry', '-inf', exact, 'LIMIT', 0, ARGV[2])
if #ids > 0 then
  many('HDEL', p .. 'results', ids)
  expired = many('ZREM', p .. 'expiry', ids)
end
for _, batch in ipairs(call('ZRANGEBYSCORE', p .. 'batches', '-inf', exact, 'LIMIT', 0, ARGV[2])) do
  local key, empty = p .. 'b:' .. batch, not exists('bj:' .. batch)
  local told = call('HMGET', key, 'total', 'done', 'failed', 'retried', 'seen')
  local sum = (told[1] or 0) + (told[2] or 0) + (told[3] or 0) + (told[4] or 0)
  if empty and tonumber(told[5]) == sum and not exists('s:' .. batch) then
    call('DEL', key)
    call('ZREM', p .. 'batches', batch)
  else
    if empty then call('HSET', key, 'seen', sum) else call('HDEL', key, 'seen') end
    call('ZADD', p .. 'batches', now + ARGV[3], batch)
  end
end
local paid = call('HGETALL', p .. 'paid')
for n = 1, #paid, 2 do
  if tonumber(paid[n + 1]) < now then call('HDEL', p .. 'paid', paid[n]) end
end
for n = 5, #ARGV, 2 do
  local kept, at = tonumber(ARGV[n + 1]), p .. 'points_at:' .. ARGV[n]
  for _, bounds in ipairs({ { '-inf', '(' .. string.format('%.17g', now - kept) }, { '(' .. string.format('%.17g', now + tonumber(ARGV[4])), '+inf' } }) do
    local names = call('ZRANGEBYSCORE', at, bounds[1], bounds[2])
    if #names > 0 then
      many('ZREM', at, names)
      many('HDEL', p .. 'points:' .. ARGV[n], names)
    end
  end
end

local function is_empty(queue, marks)
  if exists('due:' .. queue) or exists('ol:' .. queue) then return false end
  for priority in string.gmatch(marks, '%d') do
    if call('EXISTS', list_of(priority, queue)) == 1 then return false end
  end
  for _, key in pairs(COUNTED) do
    if call('HEXISTS', p .. key, queue) == 1 then return false end
  end
  return true
end

local queues = call('HGETALL', p .. 'queues')
for n = 1, #queues, 2 do
  if is_empty(queues[n], queues[n + 1]) then call('HDEL', p .. 'queues', queues[n]) end
end
return expired
