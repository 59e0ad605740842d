-- Where ready jobs stand. Those of a queue, or of a line of it, are in a list for each priority, `r:PRIORITY:NAME`, in the order of their places. Of
-- those that keep the order of a key all are in the sorted set `o:LINE`, those that run in `oh:LINE`, and those that wait for
-- something else in `ow:LINE`; `heads:QUEUE` has the keys whose first job may start. `queues` tells of each queue which of these it has:
-- digits are priorities, L lines with limits, O lines with an order.
local traits, pushes, returns, touched = {}, {}, {}, {}
-- Of batches: their first jobs that this script has buried, by state.
local buried = nil
local news = false

local function traits_of(queue)
  local known = traits[queue]
  if known == nil then
    known = call('HGET', p .. 'queues', queue) or ''
    traits[queue] = known
  end
  return known
end

local function mark(queue, trait)
  local known = traits_of(queue)
  if not find(known, trait, 1, true) then
    traits[queue] = known .. trait
    call('HSET', p .. 'queues', queue, known .. trait)
  end
end

local function ordered(gate) return gate and byte(gate) == 61 end
local function line_of(queue, gate) return gate and ',' .. queue .. ',' .. gate or queue end
local function list_of(priority, name) return p .. 'r:' .. priority .. ':' .. name end

local function touch(queue, gate) touched[line_of(queue, gate)] = { queue, gate } end

-- Put a job behind all others. `anew`: the line it stands in is looked at at once.
local function push(queue, gate, priority, pos, id, anew)
  news = true
  if ordered(gate) then
    call('ZADD', p .. 'o:' .. line_of(queue, gate), pos, id)
    call('SADD', p .. 'ol:' .. queue, gate)
    mark(queue, 'O')
    touch(queue, gate)
    return
  end
  local key = list_of(priority, line_of(queue, gate))
  local list = pushes[key]
  if list == nil then
    list = {}
    pushes[key] = list
    mark(queue, tostring(priority))
    if gate then
      mark(queue, 'L')
      if anew then call('ZADD', p .. 'due:' .. queue, 0, gate) else call('ZADD', p .. 'due:' .. queue, 'NX', 0, gate) end
    end
  end
  list[#list + 1] = entry(pos, id)
end

-- Put a job back where it was.
local function put_back(queue, gate, priority, pos, id)
  news = true
  if ordered(gate) then
    touch(queue, gate)
    return
  end
  local key = list_of(priority, line_of(queue, gate))
  local list = returns[key]
  if list == nil then
    list = {}
    returns[key] = list
    mark(queue, tostring(priority))
    if gate then
      mark(queue, 'L')
      call('ZADD', p .. 'due:' .. queue, 0, gate)
    end
  end
  list[#list + 1] = entry(pos, id)
end

local function by_place(one, other) return place(one) < place(other) end

-- A list is kept in the order of its places: what has to go before those that come back is taken out, and put in again with them.
local function merge(key, list)
  table.sort(list, by_place)
  local last = place(list[#list])
  while true do
    local head = call('LINDEX', key, 0)
    if not head or place(head) > last then break end
    for _, one in ipairs(call('LPOP', key, 100)) do list[#list + 1] = one end
  end
  table.sort(list, by_place)
  local some = {}
  for n = #list, 1, -1 do
    some[#some + 1] = list[n]
    if #some == MOST or n == 1 then
      call('LPUSH', key, unpack(some))
      some = {}
    end
  end
end

-- Let the first job of a key start, where it may.
local function open(queue, gate)
  local line, heads = line_of(queue, gate), p .. 'heads:' .. queue
  local first = call('ZRANGE', p .. 'o:' .. line, 0, 0, 'WITHSCORES')
  if first[1] and not exists('oh:' .. line) and call('SISMEMBER', p .. 'ow:' .. line, first[1]) == 0 then
    call('ZADD', heads, first[2], gate)
    return true
  end
  call('ZREM', heads, gate)
  if not first[1] then call('SREM', p .. 'ol:' .. queue, gate) end
  return false
end

-- Write down all that was pushed and put back, and open the lines that were touched. Returns whether any is open.
local function settle()
  local opened = false
  for key, list in pairs(returns) do merge(key, list) end
  for key, list in pairs(pushes) do many('RPUSH', key, list) end
  for _, line in pairs(touched) do opened = open(line[1], line[2]) or opened end
  returns, pushes, touched = {}, {}, {}
  return opened
end

-- A job leaves the place it waits at, to be deleted or ended. What is left of it in a list is skipped by whoever takes it out.
local function unplace(id, job)
  if job.state == DELAYED then
    call('ZREM', p .. 'delayed', id)
  elseif job.state == PARKED then
    call('SREM', p .. 'parked:' .. job.task, id)
  elseif job.state == READY and not ordered(job.gate) then
    call('HINCRBY', p .. 'ghosts', list_of(job.priority, line_of(job.queue, job.gate)), 1)
  end
  if job.state == DEAD or job.state == CANCELLED then
    call('ZREM', p .. (job.state == DEAD and 'dead' or 'cancelled'), id)
  elseif ordered(job.gate) then
    local line = line_of(job.queue, job.gate)
    call('ZREM', p .. 'o:' .. line, id)
    call('SREM', p .. 'ow:' .. line, id)
    touch(job.queue, job.gate)
  end
  if job.state ~= READY then count(job.state, job.queue, -1) end
end

-- A job ends for good, and is kept: `state` is DEAD or CANCELLED.
local function bury(id, job, state, now)
  job.state, job.at = state, now
  if has(job.flags, UNIQUE) then
    free_key(id)
    job.flags = job.flags - UNIQUE
  end
  call('ZADD', p .. (state == DEAD and 'dead' or 'cancelled'), now, id)
  count(state, job.queue, 1)
  write(id, job)
  if job.batch then
    buried = buried or { [DEAD] = {}, [CANCELLED] = {} }
    buried[state][job.batch] = buried[state][job.batch] or id
  end
end

-- Make a job ready behind all others; one with a place in the order of its key keeps that.
local function to_the_back(id, job, now)
  if not ordered(job.gate) or not call('ZSCORE', p .. 'o:' .. line_of(job.queue, job.gate), id) then
    job.pos = new_place()
    push(job.queue, job.gate, job.priority, job.pos, id, true)
  else
    call('SREM', p .. 'ow:' .. line_of(job.queue, job.gate), id)
    touch(job.queue, job.gate)
    news = true
  end
  job.state, job.at = READY, now
  write(id, job)
end

-- How many jobs of a queue are ready.
local function depth(queue)
  local total, marks, names = 0, traits_of(queue), { queue }
  if find(marks, 'L', 1, true) then
    for _, gate in ipairs(call('ZRANGE', p .. 'due:' .. queue, 0, -1)) do
      if gate ~= '' then names[#names + 1] = line_of(queue, gate) end
    end
  end
  for priority = 9, 0, -1 do
    if find(marks, tostring(priority), 1, true) then
      for _, name in ipairs(names) do
        local key = list_of(priority, name)
        total = total + call('LLEN', key) - (call('HGET', p .. 'ghosts', key) or 0)
      end
    end
  end
  if find(marks, 'O', 1, true) then
    for _, gate in ipairs(call('SMEMBERS', p .. 'ol:' .. queue)) do
      local line = line_of(queue, gate)
      total = total + call('ZCARD', p .. 'o:' .. line) - call('SCARD', p .. 'oh:' .. line) - call('SCARD', p .. 'ow:' .. line)
    end
  end
  return total
end
