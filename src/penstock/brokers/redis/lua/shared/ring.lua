-- Wake whoever listens: those in `armed` wait at a list of their own. What has happened so far has a number, which tells one that was not
-- armed that it missed some: the places that were given to jobs, and the rings beside. It needs no other part.
local prefix, command = KEYS[1], redis.call
local function rung() return (command('GET', prefix .. 'rings') or 0) + (command('GET', prefix .. 'pos') or 0) end

-- For what has taken a place: there is a new number already.
local function wake()
  local waiting = command('SMEMBERS', prefix .. 'armed')
  if #waiting > 0 then
    local number = rung()
    command('DEL', prefix .. 'armed')
    for _, name in ipairs(waiting) do
      command('LPUSH', prefix .. 'bell:' .. name, number)
      command('PEXPIRE', prefix .. 'bell:' .. name, 60000)
    end
  end
end

local function ring()
  command('INCR', prefix .. 'rings')
  wake()
end
