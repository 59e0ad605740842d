-- Give back what a dead process or worker held, or what a connection took and never heard of.
-- uses: base record batches ready ring gates leases ends stages standby
-- may: write when memory is full
-- Keys: the prefix. Arguments: now or ''; worker; process, or '' for all of them and to forget the worker; the failure of what may not run twice;
-- a connection or ''; the last claim that it heard of; then the ids of jobs that were running when it died.
-- Result: how many jobs came back.
local now, worker, process = time(ARGV[1]), ARGV[2], ARGV[3]
local connection, heard = ARGV[5], tonumber(ARGV[6])
local crashed, freed, given = {}, {}, 0
for n = 7, #ARGV do crashed[ARGV[n]] = true end
for _, number in ipairs(call('SMEMBERS', p .. 'h:' .. worker)) do
  local _, of_process, of_connection = holder_of(number)
  if (process == '' or process == of_process) and (connection == '' or (connection == of_connection and tonumber(number) > heard)) then
    local ids = call('SMEMBERS', p .. 'c:' .. number)
    local recs = fetch('HMGET', p .. 'jobs', ids)
    for n, id in present(ids, recs) do
      local job = read(recs[n])
      local cancel = call('HDEL', p .. 'cancel', id) == 1
      -- What nobody heard of has not begun.
      local once = has(job.flags, ONCE) and connection == ''
      given = given + 1
      if crashed[id] then job.crashes = job.crashes + 1 end
      if ordered(job.gate) then
        local line = line_of(job.queue, job.gate)
        call('SREM', p .. 'oh:' .. line, id)
        if cancel or once then call('ZREM', p .. 'o:' .. line, id) end
        touch(job.queue, job.gate)
      elseif job.gate then
        call('SREM', p .. 'g:' .. job.gate, id)
        freed[job.gate] = true
      end
      if call('SREM', p .. 'g:,' .. job.queue, id) == 1 then freed[',' .. job.queue] = true end
      if once then
        job.attempt = job.attempt + 1
        fail(id, job, ARGV[4])
        bury(id, job, DEAD, now)
        if job.batch then step(job.batch, 'failed', job.items) end
      elseif cancel then
        bury(id, job, CANCELLED, now)
        if job.batch then step(job.batch, 'failed', job.items) end
      else
        put_back(job.queue, job.gate, job.priority, job.pos, id)
        if crashed[id] then write(id, job) end
      end
    end
    call('DEL', p .. 'c:' .. number)
    tidy(number)
  end
end
if connection == '' then
  for _, name in ipairs(call('HKEYS', p .. 'standby')) do
    local of_worker, of_process = string.match(name, '^(.*)%z(.*)$')
    if of_worker == worker and (process == '' or process == of_process) then leave_standby(name) end
  end
end
open_gates(freed, 0)
stages.follow(now)
settle()
if process == '' then
  call('ZREM', p .. 'beats', worker)
  call('HDEL', p .. 'infos', worker)
end
if given > 0 then ring() end
return given
