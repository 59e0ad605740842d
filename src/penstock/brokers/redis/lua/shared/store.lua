-- Store jobs one by one, in their order. Each is {id, the record from its attempts on, queue, priority, gate, delay, run_at, unique key,
-- failure, dead, batch, items}. Returns the id that stands for each, and adds to the batches' totals where they are `counted`.
local function store(jobs, now, counted)
  local pos, standing = new_places(#jobs), {}
  for n, new in ipairs(jobs) do
    local id, queue, gate, priority, key, dead, batch = new[1], new[3], new[5], new[4], new[8], new[10], new[11]
    local holder = key and not dead and call('HGET', p .. 'unique', key)
    standing[n] = id
    if call('HEXISTS', p .. 'jobs', id) == 0 then
      if holder then
        standing[n] = holder
      else
        pos = pos + 1
        local due = new[7] or (new[6] and new[6] > 0 and now + new[6])
        if dead then
          due = nil
          call('ZADD', p .. 'dead', now, id)
          count(DEAD, queue, 1)
        elseif due then
          call('ZADD', p .. 'delayed', due, id)
          count(DELAYED, queue, 1)
        else
          push(queue, gate, priority, pos, id, false)
        end
        mark(queue, tostring(priority))
        call('HSET', p .. 'jobs', id, pack('>BBI8Bd', 0x9f, 0xcf, pos, 0xcb, due or now) .. new[2])
        if key and not dead then
          call('HSET', p .. 'unique', key, id)
          call('HSET', p .. 'unique_of', id, key)
        end
        if new[9] then call('HSET', p .. 'fail', id, new[9]) end
        if batch then
          call('SADD', p .. 'bj:' .. batch, id)
          if counted then step(batch, 'total', new[12]) end
        end
      end
    end
  end
  return standing
end
