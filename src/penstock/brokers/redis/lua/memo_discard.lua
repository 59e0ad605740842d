-- Delete memos.
-- uses: base
-- may: write when memory is full
-- Keys: the prefix. Arguments: ids.
many('HDEL', p .. 'results', ARGV)
many('ZREM', p .. 'expiry', ARGV)
