-- Have stages that were cancelled wait again, and their jobs.
-- uses: base record batches ready ring ends stages
-- may: write when memory is full
-- Keys: the prefix. Arguments: now or ''; then stages, each after those that it waits for. Result: how many jobs they have.
local resumed = 0
for n = 2, #ARGV do
  local own = stage(ARGV[n])
  if own and own.state == 'cancelled' then
    local after = call('HGET', own.key, 'after')
    resumed = resumed + call('SCARD', p .. 'bj:' .. own.id)
    call('HSET', own.key, 'state', 'waiting', 'open', #after / 16, 'moved', 0, 'again', 1)
    call('HDEL', own.key, 'reason')
    for at = 1, #after, 16 do
      local one = sub(after, at, at + 15)
      call('ZADD', p .. (own.rule == RULE_ENDED and 'ends:' or 'edge:') .. one, n, own.id)
      -- It may have ended already, and tells this one then.
      see_to(one)
    end
    see_to(own.id)
  end
end
stages.follow(time(ARGV[1]))
if settle() or #begun > 0 then ring() end
return resumed
