-- A batch's counters.
-- uses: base
-- may: only read
-- Keys: the prefix. Arguments: its id. Result: total, done, failed, retried; or false.
if not exists('b:' .. ARGV[1]) then return false end
return call('HMGET', p .. 'b:' .. ARGV[1], 'total', 'done', 'failed', 'retried')
