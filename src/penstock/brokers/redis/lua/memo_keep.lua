-- Keep memos of jobs whose leases are in force.
-- uses: base
-- Keys: the prefix. Arguments: now or ''; then of each the claim, the job's id, the memo's id, its value, the seconds to keep it. Result: 1 for each that is kept, else 0.
local now, kept = time(ARGV[1]), {}
for n = 2, #ARGV, 5 do
  local held = call('SISMEMBER', p .. 'c:' .. ARGV[n], ARGV[n + 1])
  if held == 1 then
    call('HSET', p .. 'results', ARGV[n + 2], ARGV[n + 3])
    call('ZADD', p .. 'expiry', now + tonumber(ARGV[n + 4]), ARGV[n + 2])
  end
  kept[#kept + 1] = held
end
return kept
