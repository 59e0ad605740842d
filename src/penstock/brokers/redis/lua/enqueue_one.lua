-- Store one plain job that is ready at once, as `enqueue` does. What comes one by one is dear by each function that a script makes and by
-- each command that it gives (17 and 41 us of the server's time in all, by the way of many), and so there are few here.
-- Keys: the prefix. Arguments: queue; priority; the job's id; its record from its attempts on.
-- Result: nothing; a job whose id is stored already is left as it is.
local p, call, pack = KEYS[1], redis.call, struct.pack
local queue, priority, id, t = ARGV[1], ARGV[2], ARGV[3], call('TIME')
local pos, now = call('INCR', p .. 'pos'), t[1] + t[2] / 1e6
if call('HSETNX', p .. 'jobs', id, pack('>BBI8Bd', 0x9f, 0xcf, pos, 0xcb, now) .. ARGV[4]) == 1 then
  if call('RPUSH', p .. 'r:' .. priority .. ':' .. queue, pack('>I6', pos) .. id) == 1 then
    -- Where others stand in the list, it is on record already.
    local known = call('HGET', p .. 'queues', queue) or ''
    if not string.find(known, priority, 1, true) then call('HSET', p .. 'queues', queue, known .. priority) end
  end
  local name = call('SPOP', p .. 'standby:' .. queue)
  if name then
    -- It claims the job by the ring, and nobody else needs to hear of it. As `leave_standby` in shared/standby.lua.
    for other in string.gmatch(call('HGET', p .. 'standby', name) or '', '[^,]+') do call('SREM', p .. 'standby:' .. other, name) end
    call('HDEL', p .. 'standby', name)
    call('LPUSH', p .. 'bell:' .. name, pos)
    call('PEXPIRE', p .. 'bell:' .. name, 60000)
    return
  end
  -- As `wake` in shared/ring.lua.
  local waiting = call('SMEMBERS', p .. 'armed')
  if #waiting > 0 then
    local number = pos + (call('GET', p .. 'rings') or 0)
    call('DEL', p .. 'armed')
    for _, name in ipairs(waiting) do
      call('LPUSH', p .. 'bell:' .. name, number)
      call('PEXPIRE', p .. 'bell:' .. name, 60000)
    end
  end
end
