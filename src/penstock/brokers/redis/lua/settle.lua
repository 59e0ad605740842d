-- Shipments need not be remembered for ever that have arrived, and some need no longer be.
-- uses: base
-- may: write when memory is full
-- Keys: the prefix. Arguments: now or ''; for how many seconds they are remembered; their ids. Result: nothing.
local now = time(ARGV[1])
for n = 3, #ARGV do
  if call('HEXISTS', p .. 'arrived', ARGV[n]) == 1 then call('ZADD', p .. 'settled', 'NX', now, ARGV[n]) end
end
local old = call('ZRANGEBYSCORE', p .. 'settled', '-inf', '(' .. string.format('%.17g', now - ARGV[2]))
if #old > 0 then
  many('HDEL', p .. 'arrived', old)
  many('ZREM', p .. 'settled', old)
end
