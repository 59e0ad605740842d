-- The exchange itself; exchange.lua and exchange_stages.lua differ in what they use, so that jobs outside of workflows do not pay for these. It needs all that they use.
-- Arguments: now or ''; turn; how many to take; worker; process; connection; queues (msgpack list); endings that need more than a word
-- (msgpack list, or ''); then of jobs that are simply done, claim by claim: its number, and their ids in a row.
-- An ending is {claim, id, ending, queue, priority, gate, place, flags, counted by its queue's limit, delay, attempts, crashes, result, its ttl,
-- failure, new body, batch, items, steps, follow-ups, whether stages may take its result}.
-- Result: the numbers of those that were stale (plain ones first, from 1); what `claim` gives, or false; how many stages are to be seen to yet (flow_go.lua);
-- where any may be taken, the number of the last ring.
local stale, ended = {}, 0
local now = time(ARGV[1])
local claims, gone, ghost_marks = {}, {}, exists('cancel')
local told = (#ARGV > 8 or ARGV[8] ~= '') and is_watched() and {}

local at = 9
while at < #ARGV do
  local number, row, ids = ARGV[at], ARGV[at + 1], {}
  local size = #row / 16
  for n = 1, size do ids[n] = sub(row, 16 * n - 15, 16 * n) end
  local held, good = fetch('SMISMEMBER', p .. 'c:' .. number, ids), ids
  for n = 1, size do
    if held[n] == 0 then
      good = {}
      for m = 1, size do
        if held[m] == 1 then good[#good + 1] = ids[m] else stale[#stale + 1] = ended + m end
      end
      break
    end
  end
  if #good > 0 then
    many('SREM', p .. 'c:' .. number, good)
    many('HDEL', p .. 'jobs', good)
    if ghost_marks then many('HDEL', p .. 'cancel', good) end
    if told then told[#told + 1] = table.concat(good) end
  end
  claims[number] = true
  ended = ended + size
  at = at + 2
end

local born, freed, rings, after = {}, {}, false, false

-- Functions cost something each time that they are made, and most endings need none of these.
if ARGV[8] ~= '' then
  local function leave(one, ending)
    local id, queue, gate = one[2], one[4], one[6]
    if ordered(gate) then
      local line = line_of(queue, gate)
      call('SREM', p .. 'oh:' .. line, id)
      if ending == E_DONE or ending == E_DEAD or ending == E_CANCELLED then call('ZREM', p .. 'o:' .. line, id) end
      touch(queue, gate)
      after = true
    elseif gate and call('SREM', p .. 'g:' .. gate, id) + (limit_at(gate) and 1 or 0) > 0 then
      freed[gate] = (freed[gate] or 0) + (ending == E_RELEASED and 1 or 0)
    end
    if one[9] then
      call('SREM', p .. 'g:,' .. queue, id)
      freed[',' .. queue] = (freed[',' .. queue] or 0) + (ending == E_RELEASED and 1 or 0)
    end
  end

  local function keep(one, ending)
    local id, queue, priority, gate = one[2], one[4], one[5], one[6]
    local rec = call('HGET', p .. 'jobs', id)
    if not rec then return end
    local job = read(rec)
    if one[16] then
      job.body = one[16]
      job.items = one[18]
    end
    job.attempt, job.crashes = job.attempt + one[11], job.crashes + one[12]
    if ending == E_RELEASED then
      put_back(queue, gate, priority, job.pos, id)
      rings = true
      if one[16] then write(id, job) end
      return
    end
    fail(id, job, one[15])
    if ending == E_RETRY or ending == E_SNOOZE then
      if one[10] > 0 then
        job.state, job.at = DELAYED, now + one[10]
        call('ZADD', p .. 'delayed', job.at, id)
        count(DELAYED, queue, 1)
        if ordered(gate) then call('SADD', p .. 'ow:' .. line_of(queue, gate), id) end
        write(id, job)
      else
        to_the_back(id, job, now)
      end
    elseif ending == E_PARKED then
      job.state = PARKED
      call('SADD', p .. 'parked:' .. job.task, id)
      call('SADD', p .. 'parking', job.task)
      count(PARKED, queue, 1)
      if ordered(gate) then call('SADD', p .. 'ow:' .. line_of(queue, gate), id) end
      write(id, job)
    else
      bury(id, job, ending == E_DEAD and DEAD or CANCELLED, now)
    end
  end

  local function finish(one)
    local id, flags = one[2], one[8]
    gone[#gone + 1] = id
    if has(flags, UNIQUE) then free_key(id) end
    if has(flags, FAILED) then call('HDEL', p .. 'fail', id) end
    if one[17] then call('SREM', p .. 'bj:' .. one[17], id) end
    if one[13] then
      local passes = one[21] and one[17] and call('ZSCORE', p .. 'sm:' .. one[17], id)
      call('HSET', p .. 'results', id, one[13])
      call('ZADD', p .. 'expiry', now + one[14] + (passes and KEPT or 0), id)
    end
  end

  for n, one in ipairs(cmsgpack.unpack(ARGV[8])) do
    local number, id, ending = one[1], one[2], one[3]
    if call('SREM', p .. 'c:' .. number, id) == 0 then
      stale[#stale + 1] = ended + n
    else
      claims[number] = true
      if ghost_marks and call('HDEL', p .. 'cancel', id) == 1 and
        (ending == E_RETRY or ending == E_SNOOZE or ending == E_PARKED or ending == E_RELEASED) then
        -- Somebody asked for it to be cancelled while it ran, and it would run again.
        ending = E_CANCELLED
        one[11] = 0
        if one[17] then step(one[17], 'failed', one[18]) end
      end
      if told and (ending == E_DONE or ending == E_DEAD or ending == E_CANCELLED) then told[#told + 1] = id end
      leave(one, ending)
      if ending == E_DONE then finish(one) else keep(one, ending) end
      for _, of in ipairs(one[19] or {}) do
        step(of[1], 'done', of[2])
        step(of[1], 'failed', of[3])
        step(of[1], 'retried', of[4])
        step(of[1], 'total', of[5])
      end
      for _, new in ipairs(one[20] or {}) do born[#born + 1] = new end
    end
  end
end

if #gone > 0 then many('HDEL', p .. 'jobs', gone) end
if told and #told > 0 then tell_ended(told) end
for number in pairs(claims) do tidy(number) end
if next(freed) then
  for gate, unrun in pairs(freed) do
    local limit = unrun > 0 and limit_at(gate)
    if limit and limit[1] then
      local paid = call('HGET', p .. 'paid', gate)
      if paid then call('HSET', p .. 'paid', gate, string.format('%.17g', tonumber(paid) - unrun * limit[1])) end
    end
  end
  open_gates(freed, now)
end
local opened = settle()
if #born > 0 then
  news = false
  store(born, now, false)
  rings = rings or news
  settle()
end
local left, begun = 0, nil
if stages then
  stages.join(born)
  left, begun = stages.follow(now)
  settle()
elseif stepped then
  write_steps()
end
local most, taken = tonumber(ARGV[3]), nil
if most > 0 then
  local queues = cmsgpack.unpack(ARGV[7])
  if #queues > 0 then taken = claim(queues, most, ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[2]), now) end
end
if begun and not rings then
  -- What has begun and was not taken here is for others.
  for n, id in ipairs(begun) do
    rings = rings or n > 10 or not taken or not find(taken[2], id, 1, true)
    if rings then break end
  end
end
-- Who found a key held, and is idle, has not heard of what waits behind it.
if rings or (after and opened and (not taken or #taken[2] / 16 >= most)) then ring() end
return { stale, taken or false, left, most > 0 and rung() }
