-- A worker lives.
-- uses: base
-- may: write when memory is full
-- Keys: the prefix. Arguments: now or ''; worker; what it tells of itself.
call('ZADD', p .. 'beats', time(ARGV[1]), ARGV[2])
call('HSET', p .. 'infos', ARGV[2], ARGV[3])
