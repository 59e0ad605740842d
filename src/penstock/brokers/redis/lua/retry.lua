-- Make dead and cancelled jobs ready again, with all their attempts.
-- uses: base record ready ring
-- may: write when memory is full
-- Keys: the prefix. Arguments: now or ''; the only state that is meant (a number), or ''; then ids.
-- Result: how many it were.
local now, only, done = time(ARGV[1]), ARGV[2], 0
local ids = {}
for n = 3, #ARGV do ids[#ids + 1] = ARGV[n] end
local recs = fetch('HMGET', p .. 'jobs', ids)
for n, id in ipairs(ids) do
  local job = recs[n] and read(recs[n])
  if job and (job.state == DEAD or job.state == CANCELLED) and (only == '' or only == tostring(job.state)) then
    unplace(id, job)
    job.attempt, job.crashes = 0, 0
    to_the_back(id, job, now)
    if job.batch then step(job.batch, 'failed', -job.items) end
    done = done + 1
  end
end
settle()
if done > 0 then ring() end
return done
