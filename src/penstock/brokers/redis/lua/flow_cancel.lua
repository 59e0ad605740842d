-- Cancel stages that wait.
-- uses: base record batches ready ring ends stages
-- may: write when memory is full
-- Keys: the prefix. Arguments: now or ''; why; then stages, each before those that it waits for. Result: how many jobs of theirs have not ended.
local cancelled = 0
for n = 3, #ARGV do
  local own = stage(ARGV[n])
  if own and own.state == 'waiting' then
    local total, _, failed = counts_of(own.id)
    cancelled = cancelled + total - failed
    stop(own.id, 'cancelled', ARGV[2])
  end
end
stages.follow(time(ARGV[1]))
if settle() then ring() end
return cancelled
