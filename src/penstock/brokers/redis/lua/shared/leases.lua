-- Leases: `c:CLAIM` has the ids of a claim's jobs that have not ended, `claims` who holds each claim
-- ("worker\0process\0connection"), and `h:WORKER` a worker's claims.

-- Who holds a claim: worker, process, connection; nothing where it has been forgotten.
local function holder_of(number)
  local holder = call('HGET', p .. 'claims', number)
  if holder then return string.match(holder, '^(.*)%z(.*)%z(.*)$') end
end

-- Forget a claim whose jobs have all ended.
local function tidy(number)
  if not exists('c:' .. number) then
    local worker = holder_of(number)
    if worker then
      call('SREM', p .. 'h:' .. worker, number)
      call('HDEL', p .. 'claims', number)
    end
  end
end

-- Of these jobs, the claims of those that run, by their ids.
local function running(ids)
  local found = {}
  if #ids == 0 then return found end
  for _, number in ipairs(call('HKEYS', p .. 'claims')) do
    local held = fetch('SMISMEMBER', p .. 'c:' .. number, ids)
    for n = 1, #ids do
      if held[n] == 1 then found[ids[n]] = number end
    end
  end
  return found
end
