-- Limits: `limits` has [seconds each, concurrency, at once, together] by name, `paid` until when a gate's rate is paid for, `g:GATE` the jobs that
-- passed it and run. In `due:QUEUE` stand the lines of a queue (and as '' the queue itself, while its own limit holds it back) by when they are
-- to be looked at. The arithmetic is that of core/limiter.py.
local UNTIL_FULL, SET_BACK, GRAIN = 5, 60, 1e-6
local limits, any_limits = {}, nil

local function limit_at(gate)
  if any_limits == nil then any_limits = exists('limits') end
  if not any_limits then return nil end
  local name = byte(gate) == 44 and gate or string.match(gate, '^[^,]*')
  local limit = limits[name]
  if limit == nil then
    local packed = call('HGET', p .. 'limits', name)
    limit = packed and cmsgpack.unpack(packed) or false
    limits[name] = limit
  end
  return limit or nil
end

local function open_gate(gate, limit, now)
  local every, together = limit[1], limit[3]
  local paid = every and tonumber(call('HGET', p .. 'paid', gate) or 0) or 0
  -- No further ahead than the burst, unless the clock was set back.
  if every and paid > now + together * every + SET_BACK then
    paid = now + together * every
    call('HSET', p .. 'paid', gate, string.format('%.17g', paid))
  end
  return { name = gate, every = every, most = limit[2], at_once = together, some = limit[4], paid = paid, running = limit[2] and call('SCARD', p .. 'g:' .. gate) or 0 }
end

local function room(gate, now)
  local free = gate.most and math.max(0, gate.most - gate.running) or gate.at_once
  if not gate.every then return free end
  local by_rate = math.floor((gate.at_once * gate.every - math.max(0, gate.paid - now) + GRAIN) / gate.every)
  return gate.most and math.min(free, by_rate) or by_rate
end

local function pass(gate, number, now)
  gate.running = gate.running + number
  if gate.every then
    gate.paid = math.max(gate.paid, now) + number * gate.every
    call('HSET', p .. 'paid', gate.name, string.format('%.17g', gate.paid))
  end
end

local function closed_until(gate, now)
  if room(gate, now) > 0 then return now end
  if gate.most and gate.running >= gate.most then return now + UNTIL_FULL end
  if not gate.every then return now end
  return math.max(now, gate.paid - (gate.at_once - gate.some) * gate.every)
end

-- Places have become free: look at the lines before these gates, a set, after those that have waited longer.
local function open_gates(gates, when)
  local queues = nil
  for gate in pairs(gates) do
    if byte(gate) == 44 then
      local due = p .. 'due:' .. sub(gate, 2)
      for _, line in ipairs(call('ZRANGE', due, 0, -1)) do call('ZADD', due, 'XX', 'LT', when, line) end
    else
      queues = queues or call('HGETALL', p .. 'queues')
      for n = 1, #queues, 2 do
        if find(queues[n + 1], 'L', 1, true) then call('ZADD', p .. 'due:' .. queues[n], 'XX', 'LT', when, gate) end
      end
    end
  end
end
