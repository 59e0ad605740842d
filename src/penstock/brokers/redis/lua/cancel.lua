-- Cancel jobs that have not started, and mark those that run.
-- uses: base record batches ready ring leases ends stages
-- may: write when memory is full
-- Keys: the prefix. Arguments: now or ''; the only state that is meant ('running', or a number), or ''; then ids.
-- Result: how many of both.
local now, only, ids = time(ARGV[1]), ARGV[2], {}
for n = 3, #ARGV do ids[#ids + 1] = ARGV[n] end
local runs, recs, marked, done = running(ids), fetch('HMGET', p .. 'jobs', ids), 0, 0
for n, id in ipairs(ids) do
  if recs[n] then
    local job = read(recs[n])
    if runs[id] then
      if only == '' or only == 'running' then
        call('HSET', p .. 'cancel', id, runs[id])
        marked = marked + 1
      end
    elseif job.state ~= DEAD and job.state ~= CANCELLED and (only == '' or only == tostring(job.state)) and
      not (job.state == WAITING and is_part(job.batch)) then
      unplace(id, job)
      bury(id, job, CANCELLED, now)
      if job.batch then step(job.batch, 'failed', job.items) end
      done = done + 1
    end
  end
end
stages.put_off()
if settle() or marked > 0 then ring() end
return marked + done
