-- A listener waits no more: let it go.
-- uses: base
-- may: write when memory is full
-- Keys: the prefix. Arguments: the listener's name.
call('SREM', p .. 'armed', ARGV[1])
call('LPUSH', p .. 'bell:' .. ARGV[1], 0)
call('PEXPIRE', p .. 'bell:' .. ARGV[1], 60000)
