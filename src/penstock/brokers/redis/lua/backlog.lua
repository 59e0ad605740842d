-- What waits in some queues and could start now.
-- uses: base record ready gates
-- may: only read
-- Keys: the prefix. Arguments: now or ''; how many to count; how many lines of each queue to look at; then queues.
-- Result: how many; for how many seconds the oldest has been ready, or ''.
local now, most, lines, total, since = time(ARGV[1]), tonumber(ARGV[2]), ARGV[3], 0, nil

local function older(rec)
  local at = struct.unpack('>d', rec, 12)
  since = math.min(since or math.huge, at)
end

local function look(marks, name)
  for priority = 9, 0, -1 do
    if find(marks, tostring(priority), 1, true) then
      local key = list_of(priority, name)
      local ghosts = tonumber(call('HGET', p .. 'ghosts', key) or 0)
      local waits, first = call('LLEN', key) - ghosts, 0
      total = total + waits
      while waits > 0 do
        local one = call('LINDEX', key, first)
        if not one then break end
        local rec = call('HGET', p .. 'jobs', sub(one, 7))
        if rec and sub(rec, 5, 10) == sub(one, 1, 6) and byte(rec, 26) == READY then
          older(rec)
          break
        end
        first = first + 1
      end
    end
  end
end

for n = 4, #ARGV do
  local queue = ARGV[n]
  local marks, own = traits_of(queue), limit_at(',' .. queue)
  local closed = find(marks, 'L', 1, true) and call('ZSCORE', p .. 'due:' .. queue, '')
  if not closed or tonumber(closed) <= now then
    look(marks, queue)
    if find(marks, 'O', 1, true) then
      for n, gate in ipairs(call('ZRANGE', p .. 'heads:' .. queue, 0, most)) do
        if total >= most then break end
        local line = line_of(queue, gate)
        total = total + call('ZCARD', p .. 'o:' .. line) - call('SCARD', p .. 'ow:' .. line)
        -- They are in the order of their places: the first has waited longest.
        local rec = n == 1 and call('HGET', p .. 'jobs', call('ZRANGE', p .. 'o:' .. line, 0, 0)[1])
        if rec then older(rec) end
      end
    end
  end
  if find(marks, 'L', 1, true) then
    for _, gate in ipairs(call('ZRANGEBYSCORE', p .. 'due:' .. queue, '-inf', now, 'LIMIT', 0, lines)) do
      if gate ~= '' then look(marks, line_of(queue, gate)) end
    end
  end
end
return { math.min(total, most), since and string.format('%.17g', now - since) or '' }
