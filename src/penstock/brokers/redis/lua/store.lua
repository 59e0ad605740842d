-- Store jobs of any kind, in their order.
-- uses: base record batches ready ring store leases keys
-- Keys: the prefix. Arguments: now or ''; the jobs (msgpack list: see shared/store.lua).
-- Result: the id that stands for each.
local jobs, now, standing = cmsgpack.unpack(ARGV[2]), time(ARGV[1]), {}
local ruled = false
for _, new in ipairs(jobs) do ruled = ruled or new[13] end
if ruled then
  for n, new in ipairs(jobs) do standing[n] = new[13] and settle_key(new, now) or store({ new }, now, true)[1] end
else
  standing = store(jobs, now, true)
end
write_steps()
settle()
if news then ring() end
return standing
