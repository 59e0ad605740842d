-- Store one plain job that is ready at once, as `enqueue` does. What comes one by one is dear by each function that a script makes and by
-- each command that it gives (17 and 41 us of the server's time in all, by the way of many), and so there are few here.
-- uses: ring
-- Keys: the prefix. Arguments: now or ''; queue; priority; the job's id; its record from its attempts on.
-- Result: nothing; a job whose id is stored already is left as it is.
local p, call, pack = KEYS[1], redis.call, struct.pack
local now, queue, priority, id = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
if not now then
  local t = call('TIME')
  now = t[1] + t[2] / 1e6
end
local pos = call('INCR', p .. 'pos')
if call('HSETNX', p .. 'jobs', id, pack('>BBI8Bd', 0x9f, 0xcf, pos, 0xcb, now) .. ARGV[5]) == 1 then
  if call('RPUSH', p .. 'r:' .. priority .. ':' .. queue, pack('>I6', pos) .. id) == 1 then
    -- Where others stand in the list, it is on record already.
    local known = call('HGET', p .. 'queues', queue) or ''
    if not string.find(known, priority, 1, true) then call('HSET', p .. 'queues', queue, known .. priority) end
  end
  wake()
end
