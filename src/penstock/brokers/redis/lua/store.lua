-- Store jobs of any kind, in their order.
-- uses: base record ready ring store
-- Keys: the prefix. Arguments: now or ''; the jobs (msgpack list: see shared/store.lua).
-- Result: the id that stands for each.
local standing = store(cmsgpack.unpack(ARGV[2]), time(ARGV[1]), true)
settle()
if news then ring() end
return standing
