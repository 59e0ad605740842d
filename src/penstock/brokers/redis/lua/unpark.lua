-- Make the parked jobs of a task ready again, where they were.
-- uses: base record ready ring
-- may: write when memory is full
-- Keys: the prefix. Arguments: the task; how many at most.
-- Result: how many it were.
local key = p .. 'parked:' .. ARGV[1]
local ids = call('SPOP', key, ARGV[2])
if #ids == 0 then return 0 end
local recs = fetch('HMGET', p .. 'jobs', ids)
for n, id in present(ids, recs) do
  local job = read(recs[n])
  count(PARKED, job.queue, -1)
  if ordered(job.gate) then call('SREM', p .. 'ow:' .. line_of(job.queue, job.gate), id) end
  put_back(job.queue, job.gate, job.priority, job.pos, id)
  job.state = READY
  write(id, job)
end
settle()
ring()
return #ids
