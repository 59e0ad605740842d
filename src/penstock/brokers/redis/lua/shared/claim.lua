-- Take jobs from queues and their lines. LINES: how many lines of a queue one claim looks at.
local LINES = 32

local function take_list(name, marks, most, out)
  for priority = 9, 0, -1 do
    if most <= 0 then return end
    if find(marks, tostring(priority), 1, true) then
      local key = list_of(priority, name)
      while most > 0 do
        local entries = call('LPOP', key, most)
        if not entries then break end
        if out.ghostly == nil then out.ghostly = exists('ghosts') end
        local ids, ghosts = {}, out.ghostly and tonumber(call('HGET', p .. 'ghosts', key) or 0) or 0
        for n = 1, #entries do ids[n] = sub(entries[n], 7) end
        local recs, gone, taken, kept = fetch('HMGET', p .. 'jobs', ids), 0, out.ids, out.recs
        local count_of = #taken
        for n = 1, #ids do
          local rec = recs[n]
          if rec and (ghosts == 0 or (sub(rec, 5, 10) == sub(entries[n], 1, 6) and byte(rec, 26) == READY)) then
            count_of = count_of + 1
            taken[count_of], kept[count_of] = ids[n], rec
            most = most - 1
          else
            gone = gone + 1
          end
        end
        if gone > 0 and call('HINCRBY', p .. 'ghosts', key, -gone) <= 0 then call('HDEL', p .. 'ghosts', key) end
      end
    end
  end
end

-- Of each key that is open, the jobs from the first on.
local function take_runs(queue, most, out)
  for _, gate in ipairs(call('ZRANGE', p .. 'heads:' .. queue, 0, most - 1)) do
    if most <= 0 then return end
    local line = line_of(queue, gate)
    local ids = call('ZRANGE', p .. 'o:' .. line, 0, most - 1)
    if exists('ow:' .. line) then
      local waits = fetch('SMISMEMBER', p .. 'ow:' .. line, ids)
      for n = 1, #ids do
        if waits[n] == 1 then
          for last = #ids, n, -1 do ids[last] = nil end
          break
        end
      end
    end
    call('ZREM', p .. 'heads:' .. queue, gate)
    if #ids > 0 then
      local recs = fetch('HMGET', p .. 'jobs', ids)
      many('SADD', p .. 'oh:' .. line, ids)
      for n, id in present(ids, recs) do out.ids[#out.ids + 1], out.recs[#out.recs + 1] = id, recs[n] end
      most = most - #ids
    end
  end
end

local function take_queue(queue, most, out, runs_first)
  local marks, before = traits_of(queue), #out.ids
  if not find(marks, 'O', 1, true) then return take_list(queue, marks, most, out) end
  if runs_first then take_runs(queue, most, out) end
  if #out.ids - before < most then take_list(queue, marks, most - (#out.ids - before), out) end
  if not runs_first and #out.ids - before < most then take_runs(queue, most - (#out.ids - before), out) end
end

-- Take what may start from a queue (gate is nil) or a line of it, and note when it is to be looked at next.
local function take_limited(queue, gate, most, out, now, runs_first)
  local own, gates = ',' .. queue, {}
  local limit, of_queue = gate and limit_at(gate), limit_at(own)
  if limit then gates[#gates + 1] = open_gate(gate, limit, now) end
  if of_queue then gates[#gates + 1] = open_gate(own, of_queue, now) end
  local allowed, before = most, #out.ids
  for _, one in ipairs(gates) do allowed = math.min(allowed, room(one, now)) end
  if allowed > 0 then
    if gate then take_list(line_of(queue, gate), traits_of(queue), allowed, out) else take_queue(queue, allowed, out, runs_first) end
  end
  local taken = {}
  for n = before + 1, #out.ids do taken[#taken + 1] = out.ids[n] end
  local closed = now
  for _, one in ipairs(gates) do
    if #taken > 0 then
      pass(one, #taken, now)
      many('SADD', p .. 'g:' .. one.name, taken)
      if one.name == own then
        for n = before + 1, #out.ids do out.marked[n] = true end
      end
    end
    closed = math.max(closed, closed_until(one, now))
  end
  if gate or #gates > 0 then
    local empty = #taken < allowed
    if empty or (not gate and closed <= now) then
      call('ZREM', p .. 'due:' .. queue, gate or '')
    else
      if not gate then mark(queue, 'L') end
      call('ZADD', p .. 'due:' .. queue, closed, gate or '')
    end
  end
end

-- Returns the number of the claim, the ids in a row, the records as one msgpack array, and for each whether a limit of its queue counts it.
local function claim(queues, most, worker, process, connection, turn, now)
  local out, found = { ids = {}, recs = {}, marked = {} }, #queues
  local lines_first, runs_first = math.floor(turn / found) % 2 == 0, math.floor(turn / found) % 2 == 1
  local lines = {}
  for n = 0, found - 1 do
    local queue = queues[(turn + n) % found + 1]
    if find(traits_of(queue), 'L', 1, true) then
      local due = call('ZRANGEBYSCORE', p .. 'due:' .. queue, '-inf', now, 'WITHSCORES', 'LIMIT', 0, LINES)
      for m = 1, #due, 2 do
        if due[m] ~= '' then lines[#lines + 1] = { queue, due[m], tonumber(due[m + 1]), #lines } end
      end
    end
  end
  -- Whoever has waited longest for a look comes first, so that among many keys none is left out.
  table.sort(lines, function(one, other)
    if one[3] ~= other[3] then return one[3] < other[3] end
    return one[4] < other[4]
  end)
  local function from_lines()
    for _, line in ipairs(lines) do
      if #out.ids >= most then return end
      take_limited(line[1], line[2], most - #out.ids, out, now, false)
    end
  end
  if lines_first then from_lines() end
  for n = 0, found - 1 do
    if #out.ids >= most then break end
    local queue = queues[(turn + n) % found + 1]
    if limit_at(',' .. queue) or find(traits_of(queue), 'L', 1, true) then
      take_limited(queue, nil, most - #out.ids, out, now, runs_first)
    else
      take_queue(queue, most - #out.ids, out, runs_first)
    end
  end
  if not lines_first then from_lines() end
  if #out.ids == 0 then return nil end
  -- The server's microseconds, so that a replica which takes over, and has missed the last claims, gives no number again.
  local t = call('TIME')
  local number = string.format('%.0f', math.max(tonumber(call('GET', p .. 'claim') or 0) + 1, t[1] * 1000000 + t[2]))
  call('SET', p .. 'claim', number)
  many('SADD', p .. 'c:' .. number, out.ids)
  call('HSET', p .. 'claims', number, worker .. '\0' .. process .. '\0' .. connection)
  call('SADD', p .. 'h:' .. worker, number)
  -- A worker that claims before its first heartbeat, or after it was given up for dead, is on the list from then on.
  call('ZADD', p .. 'beats', 'NX', t[1] + t[2] / 1e6, worker)
  local marks = ''
  if next(out.marked) then
    local each = {}
    for n = 1, #out.ids do each[n] = out.marked[n] and '1' or '0' end
    marks = table.concat(each)
  end
  return { number, table.concat(out.ids), pack('>BI4', 0xdd, #out.recs) .. table.concat(out.recs), marks }
end
