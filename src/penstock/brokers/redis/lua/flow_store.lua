-- Store the next part of a workflow. Until the last has come, nobody sees more of it than jobs that wait.
-- uses: base record batches ready ring ends stages
-- Keys: the prefix. Arguments: now or ''; its id; the number of the part, from 0; in how many seconds to look at it; with the last part its name, and how many stages
-- it has, or '' and ''; the stages (msgpack list of {id, and with its first jobs {place, name, rule, after, takes, how many others take its results, how many of its jobs take some, how many jobs, the first} or false; jobs}), of each job
-- {id, the record from its attempts on, queue, when: see shared/record.lua}.
-- Result: 1; 0 where parts before it are not there.
local now, flow, number = time(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local key, exact = p .. 'w:' .. flow, string.format('%.17g', now)
local told = call('HMGET', key, 'created_at', 'parts', 'gone')
local parts = tonumber(told[2] or 0)
if told[1] then return 1 end
if told[3] or number > parts then return 0 end

local function add_stage(id, own)
  local after, take = own[4], p .. (own[3] == RULE_ENDED and 'ends:' or 'edge:')
  call('HSET', p .. 's:' .. id, 'workflow', flow, 'name', own[2], 'rule', own[3], 'state', 'waiting', 'open', #after / 16, 'after', after, 'takes', own[5], 'wanted', own[6],
    'takers', own[7], 'first', own[9])
  for at = 1, #after, 16 do call('ZADD', take .. sub(after, at, at + 15), own[1], id) end
  step(id, 'total', own[8])
  call('RPUSH', p .. 'ws:' .. flow, id)
  if #after == 0 then call('RPUSH', p .. 'roots:' .. flow, id) end
end

local function add_jobs(id, jobs)
  local ids, fields, places, waiting = {}, {}, {}, {}
  for n, one in ipairs(jobs) do ids[n] = one[1] end
  local stored = fetch('HMGET', p .. 'jobs', ids)
  for n, one in ipairs(jobs) do
    if not stored[n] then
      fields[#fields + 1] = one[1]
      fields[#fields + 1] = pack('>BBI8Bd', 0x9f, 0xcf, 0, 0xcb, one[4]) .. one[2]
      places[#places + 1] = 0
      places[#places + 1] = one[1]
      waiting[one[3]] = (waiting[one[3]] or 0) + 1
    end
  end
  many('HSET', p .. 'jobs', fields)
  for queue, size in pairs(waiting) do
    call('HINCRBY', p .. 'n:waiting', queue, size)
    call('HSETNX', p .. 'queues', queue, '')
  end
  many('SADD', p .. 'bj:' .. id, ids)
  many('RPUSH', p .. 'sw:' .. id, ids)
  if tonumber(call('HGET', p .. 's:' .. id, 'wanted')) > 0 then many('ZADD', p .. 'sm:' .. id, places) end
end

if number == parts then
  for _, one in ipairs(cmsgpack.unpack(ARGV[7])) do
    if one[2] then add_stage(one[1], one[2]) end
    if #one[3] > 0 then add_jobs(one[1], one[3]) end
  end
end
if ARGV[6] == '' then
  call('HSET', key, 'parts', math.max(parts, number + 1))
  call('ZADD', p .. 'flows', now + ARGV[4], flow)
  call('SADD', p .. 'flows_open', flow)
  write_steps()
  return 1
end
call('HSET', key, 'created_at', exact, 'name', ARGV[5], 'left', ARGV[6], 'bad', 0, 'last', exact)
call('ZADD', p .. 'flows', now + ARGV[4], flow)
if ARGV[6] ~= '0' then call('SADD', p .. 'flows_open', flow) end
for _, id in ipairs(call('LRANGE', p .. 'roots:' .. flow, 0, -1)) do see_to(id) end
call('DEL', p .. 'roots:' .. flow)
stages.follow(now)
settle()
ring()
return 1
