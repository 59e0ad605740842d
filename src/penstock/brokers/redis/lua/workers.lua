-- The workers that have told of themselves.
-- uses: base
-- may: only read
-- Keys: the prefix. No arguments.
-- Result: for each what it told, for how many seconds it has been silent, and how many jobs it holds.
local now, found, infos = time(''), {}, call('HGETALL', p .. 'infos')
for n = 1, #infos, 2 do
  local beat, held = call('ZSCORE', p .. 'beats', infos[n]), 0
  for _, number in ipairs(call('SMEMBERS', p .. 'h:' .. infos[n])) do held = held + call('SCARD', p .. 'c:' .. number) end
  found[#found + 1] = { infos[n + 1], string.format('%.17g', math.max(0, now - (beat or now))), held }
end
return found
