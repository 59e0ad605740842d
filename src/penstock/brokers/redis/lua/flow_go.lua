-- Go on with stages that earlier scripts had not the time to see to.
-- uses: base record batches ready ring ends stages
-- may: write when memory is full
-- Keys: the prefix. Arguments: now or ''; then stages to see to in any case. Result: how many are left.
local now = time(ARGV[1])
for n = 2, #ARGV do see_to(ARGV[n]) end
for _, id in ipairs(call('LPOP', p .. 'flows_todo', SOME) or {}) do see_to(id) end
stages.follow(now)
if settle() or #begun > 0 then ring() end
return call('LLEN', p .. 'flows_todo')
