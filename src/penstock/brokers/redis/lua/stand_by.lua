-- A process has nothing to do, and wants to be rung for a job of its queues; at once where one has come since it looked last.
-- uses: base ring standby
-- may: write when memory is full
-- Keys: the prefix. Arguments: the process's name; the number of the last ring that it heard; its queues.
-- Result: nothing.
local name = ARGV[1]

-- What waits behind a limit or a key may have to: there a new ring counts, and elsewhere what is there to be taken.
local function is_there(queue)
  local traits = call('HGET', p .. 'queues', queue) or ''
  if find(traits, '[LO]') then return true end
  for n = 1, #traits do
    if exists('r:' .. sub(traits, n, n) .. ':' .. queue) then return true end
  end
  return false
end

leave_standby(name)
call('DEL', p .. 'bell:' .. name)
if rung() ~= tonumber(ARGV[2]) then
  for n = 3, #ARGV do
    if is_there(ARGV[n]) then
      call('LPUSH', p .. 'bell:' .. name, 0)
      call('PEXPIRE', p .. 'bell:' .. name, 60000)
      return
    end
  end
end
call('HSET', p .. 'standby', name, table.concat(ARGV, ',', 3))
for n = 3, #ARGV do call('SADD', p .. 'standby:' .. ARGV[n], name) end
