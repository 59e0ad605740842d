-- The workers that have been silent for too long.
-- uses: base
-- may: write when memory is full
-- Keys: the prefix. Arguments: now or ''; for how many seconds.
-- Result: their names.
local now, silence = time(ARGV[1]), tonumber(ARGV[2])
-- A beat far ahead is from before the server's clock was set back: it counts from now on.
for _, worker in ipairs(call('ZRANGEBYSCORE', p .. 'beats', '(' .. string.format('%.17g', now + silence), '+inf')) do
  call('ZADD', p .. 'beats', now, worker)
end
return call('ZRANGEBYSCORE', p .. 'beats', '-inf', '(' .. string.format('%.17g', now - silence))
