-- Be told of no more: let go of who waits at the list.
-- uses: base
-- may: write when memory is full
-- Keys: the prefix. Arguments: the name of who waits.
call('ZREM', p .. 'waits', ARGV[1])
call('RPUSH', p .. 'wait:' .. ARGV[1], '')
call('PEXPIRE', p .. 'wait:' .. ARGV[1], 10000)
