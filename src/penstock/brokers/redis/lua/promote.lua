-- Make delayed jobs that are due ready, and ring where limits let more start.
-- uses: base record ready ring
-- may: write when memory is full
-- Keys: the prefix. Arguments: now or ''; how many at most; the time of the last look at limits.
-- Result: how many it were; in how many seconds the next is due, or ''; in how many a line is due, or ''; whether any fell due since the last look;
-- whether any is due; now; whether stages are to be seen to.
local now, looked = time(ARGV[1]), tonumber(ARGV[3])
local ids = call('ZRANGEBYSCORE', p .. 'delayed', '-inf', now, 'LIMIT', 0, ARGV[2])
if #ids > 0 then
  local recs = fetch('HMGET', p .. 'jobs', ids)
  many('ZREM', p .. 'delayed', ids)
  for n, id in present(ids, recs) do
    local job = read(recs[n])
    count(DELAYED, job.queue, -1)
    to_the_back(id, job, now)
  end
  settle()
end
local function first_after(key, bound, until_)
  return call('ZRANGEBYSCORE', key, bound, until_, 'WITHSCORES', 'LIMIT', 0, 1)[2]
end
local soonest, fell, is_due, queues = nil, 0, 0, call('HGETALL', p .. 'queues')
local exact = string.format('%.17g', now)
for n = 1, #queues, 2 do
  if find(queues[n + 1], 'L', 1, true) then
    local due = p .. 'due:' .. queues[n]
    if now < looked then
      -- The clock was set back: what was noted for later would be long in coming.
      for _, line in ipairs(call('ZRANGE', due, 0, -1)) do call('ZADD', due, 0, line) end
    end
    local later = first_after(due, '(' .. exact, '+inf')
    if later then soonest = math.min(soonest or math.huge, tonumber(later)) end
    if first_after(due, now < looked and '-inf' or '(' .. string.format('%.17g', looked), exact) then fell = 1 end
    if first_after(due, '-inf', exact) then is_due = 1 end
  end
end
if #ids > 0 or fell == 1 then ring() end
local next_ = call('ZRANGE', p .. 'delayed', 0, 0, 'WITHSCORES')[2]
local function seconds(moment) return moment and string.format('%.17g', tonumber(moment) - now) or '' end
return { #ids, seconds(next_), seconds(soonest), fell, is_due, exact, call('EXISTS', p .. 'flows_todo') }
