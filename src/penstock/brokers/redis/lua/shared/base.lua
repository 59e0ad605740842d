-- What every script begins with: the prefix of all keys, the time, and commands over long lists. Of the second key, that of the layout, only
-- a cluster takes notice: see link.py.
local p, call = KEYS[1], redis.call
local byte, sub, find, pack = string.byte, string.sub, string.find, struct.pack
-- Lua's stack holds 8,000 values.
local MOST = 4000
-- Is on the expiry of a result that a stage has to take yet.
local KEPT = 1e11

local function time(given)
  if given ~= '' then return tonumber(given) end
  local now = call('TIME')
  return now[1] + now[2] / 1e6
end

local function many(command, key, list)
  local total = 0
  for first = 1, #list, MOST do
    total = total + call(command, key, unpack(list, first, math.min(first + MOST - 1, #list)))
  end
  return total
end

local function fetch(command, key, list)
  if #list <= MOST then
    if #list == 0 then return {} end
    return call(command, key, unpack(list))
  end
  local all = {}
  for first = 1, #list, MOST do
    for _, one in ipairs(call(command, key, unpack(list, first, math.min(first + MOST - 1, #list)))) do
      all[#all + 1] = one
    end
  end
  return all
end

local function exists(name) return call('EXISTS', p .. name) == 1 end
