-- Let jobs leave that do not run, and what belongs to them: see penstock.brokers.transfer. A shipment's id and destination are in `shipments` by its number,
-- its jobs in the list `ship:NUMBER` (of each its id, record, failure or '', unique key or '', and whether it has its place in the order of its key), its
-- results in `shipr:NUMBER` (id, value, expiry) and its counters in `shipb:NUMBER` (batch, done, failed, retried, total).
-- uses: base record ready
-- may: write when memory is full
-- Keys: the prefix. Arguments: now or ''; id of the shipment; name of the store it is bound for; how that is shown; how many jobs about; how many bytes about; queues
-- (msgpack list), or '' for all.
-- Result: its number; false where nothing can leave; 0 where workflows are under way.
local now, most, room = time(ARGV[1]), tonumber(ARGV[5]), tonumber(ARGV[6])
local all, wanted = ARGV[7] == '', {}
if not all then
  for _, queue in ipairs(cmsgpack.unpack(ARGV[7])) do wanted[queue] = true end
end
if exists('flows_open') then return 0 end
local number = call('INCR', p .. 'shipment_number')
local jobs, results, counters, batches = p .. 'ship:' .. number, p .. 'shipr:' .. number, p .. 'shipb:' .. number, {}
local any, moved, REMEMBERED = false, {}, 86400

local function leave(id, rec, job, placed)
  local key = has(job.flags, UNIQUE) and call('HGET', p .. 'unique_of', id) or ''
  local failure = has(job.flags, FAILED) and call('HGET', p .. 'fail', id) or ''
  call('RPUSH', jobs, id, rec, failure, key, placed and '1' or '')
  call('HDEL', p .. 'jobs', id)
  moved[#moved + 1] = id
  if has(job.flags, UNIQUE) then free_key(id) end
  if has(job.flags, FAILED) then call('HDEL', p .. 'fail', id) end
  if job.batch then
    call('SREM', p .. 'bj:' .. job.batch, id)
    batches[job.batch] = true
  end
  most, room, any = most - 1, room - #rec, true
end

local function leave_list(key)
  while most > 0 and room > 0 do
    local entries = call('LPOP', key, math.min(most, 50))
    if not entries then return end
    local gone = 0
    for n, one in ipairs(entries) do
      local id = sub(one, 7)
      local rec = call('HGET', p .. 'jobs', id)
      if not rec or sub(rec, 5, 10) ~= sub(one, 1, 6) or byte(rec, 26) ~= READY then
        gone = gone + 1
      elseif room <= 0 then
        -- Put back where it was, with all that are behind it.
        for last = #entries, n, -1 do call('LPUSH', key, entries[last]) end
        break
      else
        leave(id, rec, read(rec), false)
      end
    end
    if gone > 0 and call('HINCRBY', p .. 'ghosts', key, -gone) <= 0 then call('HDEL', p .. 'ghosts', key) end
  end
end

-- All jobs of a line, unless one of them runs.
local function leave_line(queue, gate)
  local line = line_of(queue, gate)
  if exists('oh:' .. line) then return end
  local ids = call('ZRANGE', p .. 'o:' .. line, 0, -1)
  local recs = fetch('HMGET', p .. 'jobs', ids)
  for n, id in present(ids, recs) do
    local job = read(recs[n])
    unplace(id, job)
    leave(id, recs[n], job, true)
  end
end

-- Jobs of a set or sorted set that have no place in the order of a key.
local function leave_kept(key, command)
  local first = 0
  while most > 0 and room > 0 do
    local ids = command == 'ZRANGE' and call('ZRANGE', key, first, first + 99) or all and call('SRANDMEMBER', key, 100) or call('SMEMBERS', key)
    local recs, before = fetch('HMGET', p .. 'jobs', ids), most
    for n, id in present(ids, recs) do
      local job = read(recs[n])
      local placed = ordered(job.gate) and job.state <= PARKED and call('ZSCORE', p .. 'o:' .. line_of(job.queue, job.gate), id)
      if most > 0 and room > 0 and (all or wanted[job.queue]) and not placed then
        unplace(id, job)
        leave(id, recs[n], job, false)
      end
    end
    first = first + #ids - (before - most)
    if #ids < 100 or (command ~= 'ZRANGE' and before == most) then return end
  end
end

local queues = call('HKEYS', p .. 'queues')
table.sort(queues)
for _, queue in ipairs(queues) do
  if all or wanted[queue] then
    local marks, names = traits_of(queue), { queue }
    if find(marks, 'L', 1, true) then
      for _, gate in ipairs(call('ZRANGE', p .. 'due:' .. queue, 0, -1)) do
        if gate ~= '' then names[#names + 1] = line_of(queue, gate) end
      end
    end
    for priority = 9, 0, -1 do
      if find(marks, tostring(priority), 1, true) then
        for _, name in ipairs(names) do leave_list(list_of(priority, name)) end
      end
    end
  end
end
for _, queue in ipairs(queues) do
  if (all or wanted[queue]) and find(traits_of(queue), 'O', 1, true) then
    for _, gate in ipairs(call('SMEMBERS', p .. 'ol:' .. queue)) do
      if most <= 0 or room <= 0 then break end
      leave_line(queue, gate)
    end
  end
end
leave_kept(p .. 'delayed', 'ZRANGE')
for _, task in ipairs(call('SMEMBERS', p .. 'parking')) do
  leave_kept(p .. 'parked:' .. task, 'SRANDMEMBER')
  if not exists('parked:' .. task) then call('SREM', p .. 'parking', task) end
end
leave_kept(p .. 'dead', 'ZRANGE')
leave_kept(p .. 'cancelled', 'ZRANGE')
settle()

local function add_counters(batch, always)
  local key = p .. 'b:' .. batch
  local told = call('HMGET', key, 'total', 'done', 'failed', 'retried')
  local total, done, failed, retried = tonumber(told[1] or 0), tonumber(told[2] or 0), tonumber(told[3] or 0), tonumber(told[4] or 0)
  if (total ~= 0 or done ~= 0 or failed ~= 0 or retried ~= 0) and (always or total == 0) then
    call('RPUSH', counters, batch, done, failed, retried, total)
    call('HSET', key, 'total', 0, 'done', 0, 'failed', 0, 'retried', 0)
    call('HDEL', key, 'seen')
    moved[#moved + 1] = batch
    any = true
  end
end
for batch in pairs(batches) do add_counters(batch, true) end
if most > 0 and room > 0 then
  for _, batch in ipairs(call('ZRANGE', p .. 'batches', 0, -1)) do add_counters(batch, all and not exists('bj:' .. batch)) end
  if all then
    local found = call('ZRANGEBYSCORE', p .. 'expiry', '(' .. string.format('%.17g', now), '+inf', 'WITHSCORES', 'LIMIT', 0, most)
    for n = 1, #found, 2 do
      if room <= 0 then break end
      local value = call('HGET', p .. 'results', found[n])
      if value then
        call('RPUSH', results, found[n], value, string.format('%.17g', found[n + 1] % KEPT))
        room = room - #value
        any = true
      end
      call('HDEL', p .. 'results', found[n])
      call('ZREM', p .. 'expiry', found[n])
    end
  end
end
if not any then return false end
call('HSET', p .. 'shipments', number, ARGV[2] .. ARGV[3])
-- What went where, for who asks here.
if #moved > 0 then many('SADD', p .. 'moved:' .. ARGV[4], moved) end
call('SADD', p .. 'moved_to', ARGV[4])
call('EXPIRE', p .. 'moved:' .. ARGV[4], REMEMBERED)
return number
