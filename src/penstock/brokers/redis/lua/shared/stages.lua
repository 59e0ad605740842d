-- Stages of workflows, and what becomes of them as others end: see penstock.core.workflow. A stage is a batch. `s:ID` is a hash of what is known of it; `sw:ID` the list of
-- its jobs, in whose order they start, and `moved` in its hash how many of them have; `sm:ID` the sorted set of its jobs whose results others take; `edge:ID` and `ends:ID`
-- the sorted sets of who waits for it, `ends` for those that want no more than its end; `given:ID` are results that are being put together for it. `w:ID` is a
-- workflow, `ws:ID` the list of its stages, `flows` says when to look at each, and those in `flows_open` are under way. What has nobody that takes its results any more is in `taken`.
-- One script does about LOAD jobs' work, a few milliseconds: `flows_todo` has the stages that are to be seen to yet. It needs base, record, batches, ready and ends.
local LOAD, SOME, MOST_HANDED, MOST_TOGETHER = 500, 100, 8388608, 67108864
local RULE_DONE, RULE_ENDED, RULE_FAILED = 0, 1, 2
local work, todo, queued, begun, stopped = LOAD, {}, {}, {}, false

local function see_to(id)
  if not queued[id] then
    queued[id] = true
    todo[#todo + 1] = id
  end
end

local function is_stage(id) return exists('s:' .. id) end

-- Is it a stage of a workflow that is being stored, by parts? Its jobs are left alone.
local function is_part(id)
  local flow = call('HGET', p .. 's:' .. id, 'workflow')
  return flow and call('HEXISTS', p .. 'w:' .. flow, 'created_at') == 0
end

local function stage(id)
  local own = call('HMGET', p .. 's:' .. id, 'state', 'name', 'rule', 'open', 'workflow', 'again', 'ended_at', 'moved', 'takers')
  if not own[1] then return nil end
  return {
    id = id, key = p .. 's:' .. id, state = own[1], name = own[2], rule = tonumber(own[3]), open = tonumber(own[4]), workflow = own[5],
    again = own[6], ended_at = own[7], moved = tonumber(own[8] or 0), takers = tonumber(own[9]),
  }
end

-- With what this script has yet to write.
local function counts_of(id)
  local own, new = call('HMGET', p .. 'b:' .. id, 'total', 'done', 'failed'), steps and steps[id] or {}
  return (own[1] or 0) + (new.total or 0), (own[2] or 0) + (new.done or 0), (own[3] or 0) + (new.failed or 0)
end

-- As core.workflow.verdict. One whose jobs are made to wait again tells nothing meanwhile.
local function verdict(own)
  if own.state == 'skipped' then return 'skipped' end
  if own.state == 'cancelled' then return 'failed' end
  if own.again then return 'open' end
  local total, done, failed = counts_of(own.id)
  if own.state ~= 'waiting' and done + failed >= total then return failed > 0 and 'failed' or 'done' end
  return failed > 0 and 'failing' or 'open'
end

local function failure_of(reason)
  local said = '\131'
  for _, word in ipairs({ 'kind', 'Cancelled', 'message', reason, 'traceback', '' }) do said = said .. cmsgpack.pack(word) end
  return said
end

-- The failure of the first job that is known to have failed, or else to have been cancelled; and whether it failed.
local function cause(id)
  local own = call('HMGET', p .. 's:' .. id, 'state', 'reason', 'dead', 'cancelled')
  if own[1] == 'cancelled' then return failure_of(own[2]), false end
  for n, state in ipairs({ DEAD, CANCELLED }) do
    local noted = own[n + 2]
    local rec = noted and call('HGET', p .. 'jobs', noted)
    if rec and byte(rec, 26) == state then return call('HGET', p .. 'fail', noted), state == DEAD end
  end
end

-- As core.workflow.why.
local function why(own)
  local packed, is_dead = cause(own.id)
  local failure = packed and cmsgpack.unpack(packed)
  if failure and is_dead then return own.name .. ' failed: ' .. failure.kind .. (failure.message ~= '' and ': ' .. failure.message or '') end
  return failure and failure.kind == 'Cancelled' and failure.message or own.name .. ' was cancelled'
end

-- A job that ended waits for its stage again, with all its attempts.
local function wait_again(id, job)
  unplace(id, job)
  if has(job.flags, FAILED) then
    call('HDEL', p .. 'fail', id)
    job.flags = job.flags - FAILED
  end
  job.attempt, job.crashes, job.state, job.at = 0, 0, WAITING, 0
  count(WAITING, job.queue, 1)
  write(id, job)
end

-- It will not start.
local function stop(id, state, reason)
  call('HSET', p .. 's:' .. id, 'state', state, 'open', 0, 'moved', 0, 'reason', reason or '')
  -- One that is skipped while its jobs are made to wait again has some that do not yet.
  if state ~= 'skipped' then call('HDEL', p .. 's:' .. id, 'again') end
  call('DEL', p .. 'given:' .. id)
  stopped = true
  see_to(id)
end

-- Put results behind the payload of a job's body, which is the eighth thing in it.
local function hand(job, results)
  local at = cmsgpack.unpack_limit(job.body, 6, 0) + 19
  local width = ({ [0xc4] = 1, [0xc5] = 2, [0xc6] = 4 })[byte(job.body, at)]
  local size, first = struct.unpack('>I' .. width, job.body, at + 1), at + 1 + width
  job.body = sub(job.body, 1, at - 1) .. pack('>BI4', 0xc6, size + #results) .. sub(job.body, first, first + size - 1) .. results .. sub(job.body, first + size)
  job.flags = job.flags - OPEN
end

local moves = {
  started = function(id, job, own, now)
    local open = has(job.flags, OPEN)
    if open then
      own.given = own.given or call('GET', p .. 'given:' .. own.id)
      hand(job, own.given)
    end
    if job.state == WAITING then
      count(WAITING, job.queue, -1)
      local due = job.at < 0 and now - job.at or job.at
      if due > now then
        job.state, job.at = DELAYED, due
        call('ZADD', p .. 'delayed', due, id)
        count(DELAYED, job.queue, 1)
        write(id, job)
      else
        to_the_back(id, job, now)
        begun[#begun + 1] = id
      end
    elseif open then
      write(id, job)
    end
  end,
  cancelled = function(id, job, own, now)
    if job.state ~= WAITING then return end
    own.failure = own.failure or failure_of(call('HGET', own.key, 'reason'))
    count(WAITING, job.queue, -1)
    fail(id, job, own.failure)
    bury(id, job, CANCELLED, now)
    step(own.id, 'failed', job.items)
  end,
  skipped = function(id, job, own)
    if job.state == WAITING then
      count(WAITING, job.queue, -1)
    elseif own.again and (job.state == DEAD or job.state == CANCELLED) then
      unplace(id, job)
      step(own.id, 'failed', -job.items)
    else
      return
    end
    call('HDEL', p .. 'jobs', id)
    call('HDEL', p .. 'fail', id)
    call('SREM', p .. 'bj:' .. own.id, id)
  end,
  -- Its jobs ended without having run, and wait again.
  waiting = function(id, job, own)
    if job.state ~= DEAD and job.state ~= CANCELLED then return end
    wait_again(id, job)
    step(own.id, 'failed', -job.items)
  end,
}

-- Do with its jobs what its state asks for. Returns whether that is all done.
local function move_jobs(own, now)
  local list, move = p .. 'sw:' .. own.id, moves[own.state]
  while true do
    local ids = work > 0 and call('LRANGE', list, own.moved, own.moved + work - 1)
    if not ids or #ids == 0 then
      call('HSET', own.key, 'moved', own.moved)
      if not ids then
        if own.given then call('SET', p .. 'given:' .. own.id, own.given) end
        return false
      end
      break
    end
    local recs = fetch('HMGET', p .. 'jobs', ids)
    for n, id in present(ids, recs) do move(id, read(recs[n]), own, now) end
    own.moved, work = own.moved + #ids, work - #ids
  end
  if own.state == 'started' then
    call('DEL', list, p .. 'given:' .. own.id)
  elseif own.again then
    call('HDEL', own.key, 'again', 'moved')
    own.again, own.moved = false, 0
  end
  return true
end

local function array(size) return pack('>BI4', 0xdd, size) end

-- Put together the results that its jobs take. Returns them; or false where it is to be gone on with; or nil, and how many bytes they have at least, where that is too much.
local function gather(own)
  local key, parts = p .. 'given:' .. own.id, {}
  if own.rule == RULE_FAILED then
    local trigger = call('HGET', own.key, 'trigger')
    return array(1) .. array(1) .. (cause(trigger) or failure_of('the job was cancelled'))
  end
  local takes, size = call('HGET', own.key, 'takes'), call('STRLEN', key)
  local at = call('HMGET', own.key, 'take', 'member')
  local take, member = tonumber(at[1] or 0), tonumber(at[2] or 0)
  local function add(part)
    parts[#parts + 1] = part
    size = size + #part
  end
  if size == 0 then add(array(#takes / 16)) end
  while take < #takes / 16 do
    local members = p .. 'sm:' .. sub(takes, 16 * take + 1, 16 * take + 16)
    local total = call('ZCARD', members)
    repeat
      if work <= 0 then
        call('APPEND', key, table.concat(parts))
        call('HSET', own.key, 'take', take, 'member', member)
        return false
      end
      if member == 0 then add(array(total)) end
      local ids = call('ZRANGE', members, member, member + SOME - 1)
      for n, value in ipairs(#ids > 0 and call('HMGET', p .. 'results', unpack(ids)) or {}) do
        if not value then
          local rec = call('HGET', p .. 'jobs', ids[n])
          value = rec and (call('HGET', p .. 'fail', ids[n]) or failure_of('the job was cancelled')) or '\192'
        end
        add(value)
      end
      member, work = member + #ids, work - 1 - math.floor(#ids / 10)
      if size > MOST_HANDED then return nil, size end
    until member >= total
    take, member = take + 1, 0
  end
  if size > MOST_HANDED or size * own.takers > MOST_TOGETHER then return nil, size end
  return (call('GET', key) or '') .. table.concat(parts)
end

-- A stage that waits for nothing starts; or is cancelled, where it would be handed too much. Returns false where it is to be gone on with.
local function begin(own, now)
  if own.takers > 0 then
    local given, size = gather(own)
    if given == false then return false end
    call('HDEL', own.key, 'take', 'member')
    if not given then
      stop(own.id, 'cancelled', string.format(
        'the results that %d jobs take have %d bytes or more each time, and %d are the most for one, %d for all: store them, and return where they are',
        own.takers, size, MOST_HANDED, MOST_TOGETHER))
      own.state = 'cancelled'
      return true
    end
    own.given = given
  end
  own.state = 'started'
  call('HSET', own.key, 'state', 'started', 'started_at', string.format('%.17g', now))
  local takes, known = call('HGET', own.key, 'takes'), {}
  for at = 1, #takes, 16 do
    local one = sub(takes, at, at + 15)
    if not known[one] then
      known[one] = true
      if call('HINCRBY', p .. 's:' .. one, 'wanted', -1) <= 0 then call('SADD', p .. 'taken', one) end
    end
  end
  return true
end

-- Note when it ended, or that it goes on.
local function note_end(own, told, now)
  local over, flow = told ~= 'open' and told ~= 'failing', p .. 'w:' .. own.workflow
  if over and not own.ended_at then
    local at = string.format('%.17g', now)
    call('HSET', own.key, 'ended_at', at)
    call('HSET', flow, 'last', at)
    if told == 'failed' then
      call('HSET', own.key, 'bad', 1)
      call('HINCRBY', flow, 'bad', 1)
    end
    if call('HINCRBY', flow, 'left', -1) == 0 then call('SREM', p .. 'flows_open', own.workflow) end
  elseif own.ended_at and not over then
    if call('HDEL', own.key, 'bad') == 1 then call('HINCRBY', flow, 'bad', -1) end
    call('HDEL', own.key, 'ended_at')
    call('HINCRBY', flow, 'left', 1)
    call('SADD', p .. 'flows_open', own.workflow)
  end
end

-- What becomes of a stage that waits for one: as core.workflow.answer.
local function answer(id, own, told)
  local waits = stage(id)
  -- Edges of a stage that no longer waits, or is about to start, are dropped as they are met.
  if not waits or waits.state ~= 'waiting' or waits.open == 0 then return end
  local failed, others = told == 'failing' or told == 'failed', waits.open > 1
  if waits.rule == RULE_DONE and failed then return stop(id, 'cancelled', why(own)) end
  if waits.rule == RULE_DONE and told == 'skipped' then return stop(id, 'skipped') end
  if others and not (waits.rule == RULE_FAILED and failed) then return call('HINCRBY', waits.key, 'open', -1) end
  if waits.rule == RULE_FAILED and not failed then return stop(id, 'skipped') end
  call('HSET', waits.key, 'open', 0, 'trigger', own.id)
  see_to(id)
end

-- Returns whether all is done that is to be done about a stage.
local function see(id, now)
  local own = stage(id)
  work = work - 1
  if not own then return true end
  if (own.state ~= 'waiting' or own.again) and not move_jobs(own, now) then return false end
  if own.state == 'waiting' and own.open == 0 then
    if not begin(own, now) then return false end
    if not move_jobs(own, now) then return false end
  end
  local told = verdict(own)
  note_end(own, told, now)
  if told == 'open' then return true end
  for _, name in ipairs(told == 'failing' and { 'edge:' } or { 'edge:', 'ends:' }) do
    repeat
      if work <= 0 then return false end
      local waits = call('ZPOPMIN', p .. name .. id, math.min(work, SOME))
      for n = 1, #waits, 2 do answer(waits[n], own, told) end
      work = work - #waits / 2
    until #waits == 0
  end
  return true
end

local function note_causes()
  for state, field in pairs({ [DEAD] = 'dead', [CANCELLED] = 'cancelled' }) do
    for batch, id in pairs(buried and buried[state] or {}) do
      if is_stage(batch) then
        local noted = call('HGET', p .. 's:' .. batch, field)
        local rec = noted and call('HGET', p .. 'jobs', noted)
        if not rec or byte(rec, 26) ~= state then call('HSET', p .. 's:' .. batch, field, id) end
      end
    end
  end
  buried = nil
end

stages = {
  -- Write down what was counted, and see to all that follows. Returns how many stages are to be seen to yet, and the jobs that are ready for it.
  follow = function(now)
    note_causes()
    local at = 1
    repeat
      local counted = steps
      for _, batch in ipairs(write_steps()) do
        local total, done, failed = counts_of(batch)
        if counted[batch].failed or counted[batch].total or done + failed >= total then see_to(batch) end
      end
      while at <= #todo and work > 0 do
        local id = todo[at]
        queued[id] = nil
        at = at + 1
        if not see(id, now) then see_to(id) end
      end
      note_causes()
    until not stepped and (at > #todo or work <= 0)
    local left = {}
    for n = at, #todo do left[#left + 1] = todo[n] end
    if #left > 0 then many('RPUSH', p .. 'flows_todo', left) end
    if stopped and is_watched() then tell_ended({}) end
    return #left, begun
  end,
  -- The same, but leave all of it to flow_go.lua: of what is cancelled or deleted together, some by each script, nothing starts the other.
  put_off = function()
    work = 0
    return stages.follow(0)
  end,
  -- Jobs that join a stage as it runs.
  join = function(born)
    for _, new in ipairs(born) do
      if new[11] and exists('sm:' .. new[11]) then call('ZADD', p .. 'sm:' .. new[11], 0, new[1]) end
    end
  end,
  -- Jobs are deleted that have not ended: of a batch there are fewer then, but in a stage they have failed.
  deleted = function(job)
    if is_stage(job.batch) then step(job.batch, 'failed', job.items) else step(job.batch, 'total', -job.items) end
  end,
}
