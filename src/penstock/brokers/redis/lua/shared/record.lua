-- A job as it is stored, in the hash `jobs` by its id: a msgpack array whose first numbers have a fixed width, so that they are replaced
-- where they stand: its place, a time (ready since, due at or ended at), failed attempts, crashes, state, flags. Then: task, queue, priority,
-- items, item, gate, batch, payload, options. Of a job that waits for its stage the time is the one that it is to run at, or less than 0 for seconds from the start of
-- that, or 0; it is OPEN while it lacks the results that it takes.
local READY, DELAYED, PARKED, DEAD, CANCELLED, WAITING = 0, 1, 2, 3, 4, 5
local UNIQUE, FAILED, PACKED, ONCE, OPEN = 1, 2, 4, 8, 16 -- and 32 is of a job of a workflow, for whoever runs it
local HEAD, BODY = '>BBI8BdBI2BI2BB', 28
-- The numbers of endings: see core/outcome.py.
local E_DONE, E_RETRY, E_SNOOZE, E_DEAD, E_CANCELLED, E_PARKED, E_RELEASED = 0, 1, 2, 3, 4, 5, 6

local function has(flags, flag) return flags % (2 * flag) >= flag end

local function read(rec)
  local _, _, pos, _, at, _, attempt, _, crashes, state, flags = struct.unpack(HEAD, rec)
  local after, task, queue, priority, items, item, gate = cmsgpack.unpack_limit(rec, 6, BODY - 1)
  local batch = nil
  if byte(rec, after + 1) == 0xc4 then batch = sub(rec, after + 3, after + 18) end
  return {
    pos = pos, at = at, attempt = attempt, crashes = crashes, state = state, flags = flags, body = sub(rec, BODY),
    task = task, queue = queue, priority = priority, items = items, gate = gate, batch = batch,
  }
end

-- The ids that have a record. All have, unless somebody took one out by hand: what failed half-way through would fail for ever.
local function present(ids, recs)
  local n = 0
  return function()
    repeat n = n + 1 until n > #ids or recs[n]
    if n <= #ids then return n, ids[n] end
  end
end

local function written(job)
  return pack(HEAD, 0x9f, 0xcf, job.pos, 0xcb, job.at, 0xcd, math.min(job.attempt, 65535), 0xcd, math.min(job.crashes, 65535),
    job.state, job.flags) .. job.body
end

local function write(id, job) call('HSET', p .. 'jobs', id, written(job)) end

-- An entry of a list of ready jobs: the place, and the id.
local function entry(pos, id) return pack('>I6', pos) .. id end
local function place(one) return (struct.unpack('>I6', one)) end

local function new_places(count) return call('INCRBY', p .. 'pos', count) - count end
local function new_place() return call('INCR', p .. 'pos') end

-- Counts of jobs by state and queue, but for those that are ready or run.
local COUNTED = { [DELAYED] = 'n:delayed', [PARKED] = 'n:parked', [DEAD] = 'n:dead', [CANCELLED] = 'n:cancelled', [WAITING] = 'n:waiting' }
local function count(state, queue, by)
  local key = p .. COUNTED[state]
  if call('HINCRBY', key, queue, by) == 0 then call('HDEL', key, queue) end
end

local function fail(id, job, failure)
  if failure then
    call('HSET', p .. 'fail', id, failure)
    if not has(job.flags, FAILED) then job.flags = job.flags + FAILED end
  end
end

local function free_key(id)
  local key = call('HGET', p .. 'unique_of', id)
  if key then
    if call('HGET', p .. 'unique', key) == id then call('HDEL', p .. 'unique', key) end
    call('HDEL', p .. 'unique_of', id)
  end
end
