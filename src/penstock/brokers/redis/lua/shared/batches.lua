-- Batches: `b:ID` has the counters, `bj:ID` the ids of the jobs that are stored. What a script counts is written at its end, at once: by `write_steps`, or by
-- `follow` (stages.lua) where others may wait for the batch. It needs base.
local steps, stepped = nil, nil
-- What sees to the stages of workflows, in scripts that use it.
local stages = nil

local function step(batch, field, by)
  if by == 0 then return end
  if not steps then steps, stepped = {}, {} end
  local own = steps[batch]
  if not own then
    own = {}
    steps[batch] = own
    stepped[#stepped + 1] = batch
  end
  own[field] = (own[field] or 0) + by
end

-- Returns the batches that were counted in.
local function write_steps()
  local changed = stepped or {}
  for _, batch in ipairs(changed) do
    for field, by in pairs(steps[batch]) do
      if by ~= 0 then call('HINCRBY', p .. 'b:' .. batch, field, by) end
    end
    call('ZADD', p .. 'batches', 'NX', 0, batch)
  end
  steps, stepped = nil, nil
  return changed
end
