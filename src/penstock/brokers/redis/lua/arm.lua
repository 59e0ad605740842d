-- Wait for the next ring, if there was none since the last that was heard.
-- uses: base ring
-- may: write when memory is full
-- Keys: the prefix. Arguments: the listener's name; the number of the last ring it heard.
-- Result: the number of the last ring there was.
local number = rung()
if number == tonumber(ARGV[2]) then call('SADD', p .. 'armed', ARGV[1]) end
return number
