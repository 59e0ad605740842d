-- Unique keys that are not simply held until their job's end. A job's rule is {id under which `results` tells for a time who holds the key, or false; for how many seconds; is
-- it free once its holder runs?; does a holder that waits give way?}. It needs base, record, ready and leases.

-- See to the key of a new job, which may be stored under its holder's id. Returns the id that stands for it, where it is not to be stored.
local function settle_key(new, now)
  local id, key, rule = new[1], new[8], new[13]
  if rule[1] then
    local ends = call('ZSCORE', p .. 'expiry', rule[1])
    local holder = ends and tonumber(ends) > now and call('HGET', p .. 'results', rule[1])
    if holder and holder ~= id then return holder end
    call('HSET', p .. 'results', rule[1], id)
    call('ZADD', p .. 'expiry', now + rule[2], rule[1])
    return nil
  end
  local holder = call('HGET', p .. 'unique', key)
  local rec = holder and holder ~= id and call('HGET', p .. 'jobs', holder)
  if not rec then return nil end
  if running({ holder })[holder] then
    if rule[3] then free_key(holder) end
  elseif rule[4] then
    local job = read(rec)
    unplace(holder, job)
    call('HDEL', p .. 'jobs', holder)
    call('HDEL', p .. 'fail', holder)
    free_key(holder)
    new[1] = holder
  end
end
