-- The schedules that are due, those first that have been so for longest.
-- uses: base record
-- may: only read
-- Keys: the prefix. Arguments: now or ''; how many at most.
-- Result: now; in how many seconds the next one is due that is not yet, or ''; then of each its name and what is kept of it: see
-- schedules_change.lua.
local now = string.format('%.17g', time(ARGV[1]))
local due = p .. 'schedules_due'
local names = {}
if tonumber(ARGV[2]) > 0 then names = call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, ARGV[2]) end
local next_ = call('ZRANGEBYSCORE', due, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
local result = { now, next_ and string.format('%.17g', tonumber(next_) - tonumber(now)) or '' }
local rows = fetch('HMGET', p .. 'schedules', names)
for n, name in present(names, rows) do
  result[#result + 1] = name
  result[#result + 1] = rows[n]
end
return result
