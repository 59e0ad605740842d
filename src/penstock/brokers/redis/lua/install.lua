-- Note which layout of keys a queue has, if it is new.
-- uses: base
-- Keys: the prefix. Arguments: the number of the layout.
-- Result: the number that is noted.
local found = call('GET', p .. 'layout')
if not found then
  call('SET', p .. 'layout', ARGV[1])
  found = ARGV[1]
end
return found
