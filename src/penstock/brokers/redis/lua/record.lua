-- Keep what a worker has counted.
-- uses: base
-- may: write when memory is full (points are few, and pruned)
-- Keys: the prefix. Arguments: now or ''; span; the point's name (worker and number); the point.
local now = time(ARGV[1])
call('ZADD', p .. 'points_at:' .. ARGV[2], now, ARGV[3])
call('HSET', p .. 'points:' .. ARGV[2], ARGV[3], ARGV[4])
