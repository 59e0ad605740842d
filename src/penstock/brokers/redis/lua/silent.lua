-- The workers that have been silent for too long.
-- uses: base
-- may: write when memory is full
-- Keys: the prefix. Arguments: now or ''; for how many seconds.
-- Result: the time by which they are; their names.
local now, silence = time(ARGV[1]), tonumber(ARGV[2])
-- A beat far ahead is from before the server's clock was set back: it counts from now on.
for _, worker in ipairs(call('ZRANGEBYSCORE', p .. 'beats', '(' .. string.format('%.17g', now + silence), '+inf')) do
  call('ZADD', p .. 'beats', now, worker)
end
local silent = call('ZRANGEBYSCORE', p .. 'beats', '-inf', '(' .. string.format('%.17g', now - silence))
return { string.format('%.17g', now), silent }
