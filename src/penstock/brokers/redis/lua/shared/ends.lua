-- Tell those who wait for jobs to end. `waits` has their names, with the time until which each has said that it waits. It needs base.
local function is_watched() return exists('waits') end

-- With no ids, any job may have ended.
local function tell_ended(ids)
  local words = table.concat(ids)
  call('ZREMRANGEBYSCORE', p .. 'waits', '-inf', time(''))
  for _, name in ipairs(call('ZRANGE', p .. 'waits', 0, -1)) do
    local list = p .. 'wait:' .. name
    call('RPUSH', list, words)
    call('LTRIM', list, -1000, -1)
    call('PEXPIRE', list, 60000)
  end
end
