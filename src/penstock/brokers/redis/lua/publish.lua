-- Store the jobs of events, if no subscription has changed.
-- uses: base record batches ready ring store plain
-- Keys: the prefix. Arguments: now or ''; the mark of the last change that is known; jobs that are not plain (msgpack list: see
-- shared/store.lua), or ''; then of each queue and priority these two, how many plain jobs, and of each its id and its record from its attempts on.
-- Result: 1, or 0 where subscriptions have changed since.
if (call('GET', p .. 'subscribed') or '') ~= ARGV[2] then return 0 end
local now, at, any = time(ARGV[1]), 4, false
if ARGV[3] ~= '' then
  store(cmsgpack.unpack(ARGV[3]), now, false)
  settle()
end
while ARGV[at] do
  local size = tonumber(ARGV[at + 2])
  any = store_plain(ARGV[at], ARGV[at + 1], now, at + 3, size) or any
  at = at + 3 + 2 * size
end
if any or news then wake() end
return 1
