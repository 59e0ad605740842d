-- A workflow, and some of its stages.
-- uses: base
-- may: only read
-- Keys: the prefix. Arguments: its id, or that of one of its stages; how many stages to leave out; how many to tell of.
-- Result: its id, name, when it was stored, how many stages it has; then of each its id, name, state, rule, after, total, done, failed, retried, first, started_at, ended_at, reason. False
-- where there is none.
local flow = call('HGET', p .. 's:' .. ARGV[1], 'workflow') or ARGV[1]
local own = call('HMGET', p .. 'w:' .. flow, 'name', 'created_at', 'gone')
if not own[2] or own[3] then return false end
local rows = { flow, own[1], own[2], call('LLEN', p .. 'ws:' .. flow) }
for _, id in ipairs(call('LRANGE', p .. 'ws:' .. flow, ARGV[2], ARGV[2] + ARGV[3] - 1)) do
  local told, row = call('HMGET', p .. 's:' .. id, 'name', 'state', 'rule', 'after', 'first', 'started_at', 'ended_at', 'reason'), { id }
  local counts = call('HMGET', p .. 'b:' .. id, 'total', 'done', 'failed', 'retried')
  for n = 1, 4 do row[#row + 1] = told[n] end
  for n = 1, 4 do row[#row + 1] = counts[n] or '0' end
  for n = 5, 8 do row[#row + 1] = told[n] or '' end
  rows[#rows + 1] = row
end
return rows
