-- Processes that have nothing to do, and have asked already for the job that they will be rung for: `standby` has the queues of each by its name
-- ("worker\0process"), with commas between them, and `standby:QUEUE` the names. Whoever rings one takes its name out. It needs base.
local function leave_standby(name)
  local queues = call('HGET', p .. 'standby', name)
  if queues then
    for queue in string.gmatch(queues, '[^,]+') do call('SREM', p .. 'standby:' .. queue, name) end
    call('HDEL', p .. 'standby', name)
  end
end
