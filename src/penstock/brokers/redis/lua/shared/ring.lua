-- Wake whoever listens: those in `armed` wait at a list of their own. The number of rings tells one that was not armed that it missed some.
local function ring()
  local number = call('INCR', p .. 'rings')
  local waiting = call('SMEMBERS', p .. 'armed')
  if #waiting > 0 then
    call('DEL', p .. 'armed')
    for _, name in ipairs(waiting) do
      call('LPUSH', p .. 'bell:' .. name, number)
      call('PEXPIRE', p .. 'bell:' .. name, 60000)
    end
  end
end
