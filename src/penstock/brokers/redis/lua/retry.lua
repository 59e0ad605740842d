-- Make dead and cancelled jobs ready again, with all their attempts; or have them wait for their stage again. Those stay whose stage was stopped.
-- uses: base record batches ready ring ends stages
-- may: write when memory is full
-- Keys: the prefix. Arguments: now or ''; the only state that is meant (a number), or ''; then ids.
-- Result: how many it were.
local now, only, done = time(ARGV[1]), ARGV[2], 0
local ids = {}
for n = 3, #ARGV do ids[#ids + 1] = ARGV[n] end
local recs = fetch('HMGET', p .. 'jobs', ids)

-- Those that are open lack what their stage is to hand them.
local function may_run(job)
  local state = job.batch and call('HGET', p .. 's:' .. job.batch, 'state') or 'none'
  if state == 'waiting' then return false, true end
  if has(job.flags, OPEN) then return false, state == 'started' end
  return state == 'none' or state == 'started', false
end

for n, id in ipairs(ids) do
  local job = recs[n] and read(recs[n])
  if job and (job.state == DEAD or job.state == CANCELLED) and (only == '' or only == tostring(job.state)) then
    local runs, waits = may_run(job)
    if runs then
      unplace(id, job)
      job.attempt, job.crashes = 0, 0
      to_the_back(id, job, now)
    elseif waits then
      wait_again(id, job)
    end
    if runs or waits then
      if job.batch then step(job.batch, 'failed', -job.items) end
      done = done + 1
    end
  end
end
stages.follow(now)
settle()
if done > 0 then ring() end
return done
