-- The points of a span that ended after a time, oldest first.
-- uses: base
-- may: only read
-- Keys: the prefix. Arguments: span; the time. Result: for each its name, when, and the point.
local found = {}
local names = call('ZRANGEBYSCORE', p .. 'points_at:' .. ARGV[1], '(' .. ARGV[2], '+inf', 'WITHSCORES')
for n = 1, #names, 2 do
  found[#found + 1] = { names[n], names[n + 1], call('HGET', p .. 'points:' .. ARGV[1], names[n]) }
end
return found
