-- Delete jobs that are not running.
-- uses: base record batches ready ring leases ends stages
-- may: write when memory is full
-- Keys: the prefix. Arguments: the only state that is meant (a number), or ''; then ids.
-- Result: how many it were.
local only, ids, done = ARGV[1], {}, 0
for n = 2, #ARGV do ids[#ids + 1] = ARGV[n] end
local runs, recs = running(ids), fetch('HMGET', p .. 'jobs', ids)
for n, id in ipairs(ids) do
  local job = recs[n] and not runs[id] and read(recs[n])
  if job and (only == '' or only == tostring(job.state)) and not (job.state == WAITING and is_part(job.batch)) and
    call('HDEL', p .. 'jobs', id) == 1 then
    -- A job that ended is counted in its batch already; one that waits takes its items with it.
    if job.batch then
      if job.state ~= DEAD and job.state ~= CANCELLED then stages.deleted(job) end
      call('SREM', p .. 'bj:' .. job.batch, id)
    end
    unplace(id, job)
    if has(job.flags, UNIQUE) then free_key(id) end
    if has(job.flags, FAILED) then call('HDEL', p .. 'fail', id) end
    done = done + 1
  end
end
stages.put_off()
if settle() then ring() end
return done
