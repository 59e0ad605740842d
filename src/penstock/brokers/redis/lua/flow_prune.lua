-- Let results go that all have taken who were to, and forget workflows that ended long ago, or were never stored whole.
-- uses: base record batches ready
-- may: write when memory is full
-- Keys: the prefix. Arguments: now or ''; how many workflows to look at, at most; seconds until the next look at each; for how many seconds one is kept that ended well, and one that did not.
-- Result: whether there is more to do.
local now, work, SOME = time(ARGV[1]), 1000, 100

-- Results of a stage expire when they were to.
local function let_go(id)
  while work > 0 do
    local members, ids = call('ZPOPMIN', p .. 'sm:' .. id, SOME), {}
    for n = 1, #members, 2 do ids[#ids + 1] = members[n] end
    if #ids == 0 then
      call('SREM', p .. 'taken', id)
      return
    end
    for n, expiry in ipairs(call('ZMSCORE', p .. 'expiry', unpack(ids))) do
      if expiry then call('ZADD', p .. 'expiry', 'XX', string.format('%.17g', expiry % KEPT), ids[n]) end
    end
    work = work - #ids
  end
end

local function forget_stage(id)
  call('SADD', p .. 'taken', id)
  local is_whole = call('HEXISTS', p .. 'w:' .. call('HGET', p .. 's:' .. id, 'workflow'), 'created_at') == 1
  while work > 0 do
    local ids = call('LPOP', p .. 'sw:' .. id, SOME)
    if not ids then
      if not is_whole then
        call('DEL', p .. 'b:' .. id)
        call('ZREM', p .. 'batches', id)
      end
      for _, name in ipairs({ 's:', 'given:', 'edge:', 'ends:' }) do call('DEL', p .. name .. id) end
      return true
    end
    local recs = fetch('HMGET', p .. 'jobs', ids)
    for n, job_id in present(ids, recs) do
      if byte(recs[n], 26) == WAITING then
        unplace(job_id, read(recs[n]))
        call('HDEL', p .. 'jobs', job_id)
        call('SREM', p .. 'bj:' .. id, job_id)
      end
    end
    work = work - #ids
  end
  return false
end

local function forget(flow)
  call('HSET', p .. 'w:' .. flow, 'gone', 1)
  while work > 0 do
    work = work - 1
    local id = call('LINDEX', p .. 'ws:' .. flow, 0)
    if not id then
      call('DEL', p .. 'w:' .. flow, p .. 'roots:' .. flow)
      call('ZREM', p .. 'flows', flow)
      call('SREM', p .. 'flows_open', flow)
      return
    end
    if not forget_stage(id) then return end
    call('LPOP', p .. 'ws:' .. flow)
  end
end

local looks = tonumber(ARGV[2])
while work > 0 and looks > 0 do
  local flow = call('ZRANGEBYSCORE', p .. 'flows', '-inf', now, 'LIMIT', 0, 1)[1]
  if not flow then break end
  local own = call('HMGET', p .. 'w:' .. flow, 'created_at', 'left', 'last', 'bad', 'gone')
  local last = tonumber(own[3] or 0)
  local ended = own[2] == '0' and last <= now - ARGV[4] and (own[4] == '0' or last <= now - ARGV[5])
  looks = looks - 1
  if own[5] or not own[1] or ended then forget(flow) else call('ZADD', p .. 'flows', now + ARGV[3], flow) end
end
while work > 0 do
  local id = call('SRANDMEMBER', p .. 'taken')
  if not id then break end
  let_go(id)
end
return work <= 0 and 1 or 0
