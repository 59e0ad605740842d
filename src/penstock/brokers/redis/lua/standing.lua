-- Where a job stands that is ready, or waits for its stage.
-- uses: base record ready gates leases
-- Keys: the prefix. Arguments: id; how many before it to count at most.
-- Result: false where it is neither; else how many are before it; the first job of its line, where that keeps an order, or false; and of each limit that it has to
-- pass the gate's name, how many jobs run, how many may ('' where any number), and the seconds until its rate lets the next one start;
-- and of each stage that it waits for the name, how many of its jobs have ended, and how many there are.
local id, most = ARGV[1], tonumber(ARGV[2])
local rec = call('HGET', p .. 'jobs', id)
if not rec or running({ id })[id] then return false end
local job = read(rec)
if job.state == WAITING then
  local awaits, own = {}, call('HMGET', p .. 's:' .. job.batch, 'after', 'rule')
  for at = 1, math.min(#(own[1] or ''), 16 * most), 16 do
    local one = sub(own[1], at, at + 15)
    if call('ZSCORE', p .. (own[2] == '1' and 'ends:' or 'edge:') .. one, job.batch) then
      local counts = call('HMGET', p .. 'b:' .. one, 'done', 'failed', 'total')
      awaits[#awaits + 1] = { call('HGET', p .. 's:' .. one, 'name'), (counts[1] or 0) + (counts[2] or 0), tonumber(counts[3] or 0) }
    end
  end
  return #awaits > 0 and { 0, false, {}, awaits }
end
if job.state ~= READY then return false end
local line, ahead, first = line_of(job.queue, job.gate), 0, false
if ordered(job.gate) then
  ahead = call('ZRANK', p .. 'o:' .. line, id) or 0
  first = call('ZRANGE', p .. 'o:' .. line, 0, 0)[1] or false
else
  for priority = 9, job.priority + 1, -1 do
    local key = list_of(priority, line)
    ahead = ahead + call('LLEN', key) - (call('HGET', p .. 'ghosts', key) or 0)
  end
  ahead = ahead + (call('LPOS', list_of(job.priority, line), entry(job.pos, id), 'MAXLEN', most) or most)
end
local now, gates = time(''), {}
for _, name in ipairs({ job.gate or ',' .. job.queue, job.gate and ',' .. job.queue or nil }) do
  local limit = limit_at(name)
  if limit then
    local gate = open_gate(name, limit, now)
    local by_rate = not gate.every or room({ every = gate.every, at_once = gate.at_once, paid = gate.paid }, now) > 0
    local opens = by_rate and 0 or math.max(0, gate.paid - (gate.at_once - gate.some) * gate.every - now)
    gates[#gates + 1] = { name, gate.running, gate.most or '', string.format('%.17g', opens) }
  end
end
return { math.min(ahead, most), first, gates, {} }
