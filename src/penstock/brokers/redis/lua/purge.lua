-- Delete the next ready jobs of a queue that keep no order.
-- uses: base record batches ready ring ends stages
-- may: write when memory is full
-- Keys: the prefix. Arguments: the queue; how many at most.
-- Result: how many it were, and whether there may be more.
local queue, most, done = ARGV[1], tonumber(ARGV[2]), 0
local marks, names = traits_of(queue), { queue }
for _, gate in ipairs(call('ZRANGE', p .. 'due:' .. queue, 0, -1)) do
  if gate ~= '' then names[#names + 1] = line_of(queue, gate) end
end
for priority = 9, 0, -1 do
  for _, name in ipairs(names) do
    local key = list_of(priority, name)
    local entries = most > 0 and find(marks, tostring(priority), 1, true) and call('LPOP', key, most)
    if entries then
      most = most - #entries
      local gone = 0
      for _, one in ipairs(entries) do
        local id = sub(one, 7)
        local rec = call('HGET', p .. 'jobs', id)
        if rec and sub(rec, 5, 10) == sub(one, 1, 6) and byte(rec, 26) == READY then
          local job = read(rec)
          call('HDEL', p .. 'jobs', id)
          if has(job.flags, UNIQUE) then free_key(id) end
          if has(job.flags, FAILED) then call('HDEL', p .. 'fail', id) end
          if job.batch then
            stages.deleted(job)
            call('SREM', p .. 'bj:' .. job.batch, id)
          end
          done = done + 1
        else
          gone = gone + 1
        end
      end
      if gone > 0 and call('HINCRBY', p .. 'ghosts', key, -gone) <= 0 then call('HDEL', p .. 'ghosts', key) end
    end
  end
end
stages.put_off()
return { done, most <= 0 and 1 or 0 }
