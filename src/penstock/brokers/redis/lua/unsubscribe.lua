-- Forget subscriptions.
-- uses: base
-- may: write when memory is full (it makes room)
-- Keys: the prefix. Arguments: the mark of this change; of each its group, handler and pattern (a msgpack array).
-- Result: how many there were.
call('SET', p .. 'subscribed', table.remove(ARGV, 1))
return many('HDEL', p .. 'subscriptions', ARGV)
