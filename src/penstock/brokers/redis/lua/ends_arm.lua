-- Be told of jobs that end.
-- uses: base
-- may: write when memory is full
-- Keys: the prefix. Arguments: the name of who waits; the seconds for which it does.
call('ZADD', p .. 'waits', time('') + tonumber(ARGV[2]), ARGV[1])
