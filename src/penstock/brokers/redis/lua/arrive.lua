-- Store what is in a shipment, unless it has arrived before.
-- uses: base record batches ready ring
-- Keys: the prefix. Arguments: id of the shipment; the jobs (msgpack list of {id, the record from its attempts on, queue, priority, gate, state, time, unique key, failure,
-- batch, items, whether it has its place in the order of its key, task}); the results (list of {id, value, expiry}); the counters (list of {batch, done, failed, retried, total}).
-- Result: how many jobs were stored; or false.
if call('HSETNX', p .. 'arrived', ARGV[1], '') == 0 then return false end
local jobs, stored = cmsgpack.unpack(ARGV[2]), 0
local pos = new_places(#jobs)
for _, one in ipairs(jobs) do
  local id, queue, priority, gate, state, at, key, batch = one[1], one[3], one[4], one[5], one[6], one[7], one[8], one[10]
  if call('HEXISTS', p .. 'jobs', id) == 1 or (key and call('HEXISTS', p .. 'unique', key) == 1) then
    if batch then
      step(batch, 'total', -one[11])
      if state > PARKED then step(batch, 'failed', -one[11]) end
    end
  else
    pos, stored = pos + 1, stored + 1
    call('HSET', p .. 'jobs', id, pack('>BBI8Bd', 0x9f, 0xcf, pos, 0xcb, at) .. one[2])
    mark(queue, tostring(priority))
    if state == READY then
      push(queue, gate, priority, pos, id, true)
    else
      count(state, queue, 1)
      if state == PARKED then
        call('SADD', p .. 'parked:' .. one[13], id)
        call('SADD', p .. 'parking', one[13])
      else
        call('ZADD', p .. (state == DELAYED and 'delayed' or state == DEAD and 'dead' or 'cancelled'), at, id)
      end
      if one[12] then
        local line = line_of(queue, gate)
        call('ZADD', p .. 'o:' .. line, pos, id)
        call('SADD', p .. 'ow:' .. line, id)
        call('SADD', p .. 'ol:' .. queue, gate)
        mark(queue, 'O')
        touch(queue, gate)
      end
    end
    if key then
      call('HSET', p .. 'unique', key, id)
      call('HSET', p .. 'unique_of', id, key)
    end
    if one[9] then call('HSET', p .. 'fail', id, one[9]) end
    if batch then call('SADD', p .. 'bj:' .. batch, id) end
  end
end
for _, one in ipairs(cmsgpack.unpack(ARGV[4])) do
  step(one[1], 'done', one[2])
  step(one[1], 'failed', one[3])
  step(one[1], 'retried', one[4])
  step(one[1], 'total', one[5])
end
write_steps()
for _, one in ipairs(cmsgpack.unpack(ARGV[3])) do
  if call('HSETNX', p .. 'results', one[1], one[2]) == 1 then call('ZADD', p .. 'expiry', one[3], one[1]) end
end
-- What went elsewhere may be among these.
for _, place in ipairs(call('SMEMBERS', p .. 'moved_to')) do call('UNLINK', p .. 'moved:' .. place) end
call('DEL', p .. 'moved_to')
settle()
ring()
return stored
