-- The jobs of a worker that are to be cancelled.
-- uses: base leases
-- may: only read
-- Keys: the prefix. Arguments: worker.
-- Result: for each the process and the id.
local found, marks = {}, call('HGETALL', p .. 'cancel')
for n = 1, #marks, 2 do
  local worker, process = holder_of(marks[n + 1])
  if worker == ARGV[1] then found[#found + 1] = { tonumber(process), marks[n] } end
end
return found
