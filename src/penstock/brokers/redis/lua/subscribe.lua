-- Keep subscriptions, and give all patterns of a handler the same terms.
-- uses: base
-- may: write when memory is full (a worker begins with it)
-- Keys: the prefix. Arguments: the mark of this change; of each its group and handler (the beginning of a msgpack array), its pattern (the rest of it), and its terms.
-- Result: nothing; they are in `subscriptions`, by those arrays, and `subscribed` has the mark of the last change.
local key = p .. 'subscriptions'
for n = 2, #ARGV, 3 do
  local handler, terms = ARGV[n], ARGV[n + 2]
  call('HSET', key, handler .. ARGV[n + 1], terms)
  for _, name in ipairs(call('HKEYS', key)) do
    if sub(name, 1, #handler) == handler then call('HSET', key, name, terms) end
  end
end
call('SET', p .. 'subscribed', ARGV[1])
