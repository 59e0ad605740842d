-- Where a job or batch went.
-- uses: base
-- may: only read
-- Keys: the prefix. Arguments: its id. Result: the place as it may be shown, or false.
for _, place in ipairs(call('SMEMBERS', p .. 'moved_to')) do
  if call('SISMEMBER', p .. 'moved:' .. place, ARGV[1]) == 1 then return place end
end
return false
