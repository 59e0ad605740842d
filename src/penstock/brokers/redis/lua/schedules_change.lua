-- Change schedules that have the versions they are to have, and store the jobs of those that were changed. The hash `schedules` has of each its
-- version, when it is to be looked at, and its content, with a line feed between them; the sorted set `schedules_due` has when.
-- uses: base record batches ready ring store
-- Keys: the prefix. Arguments: now or ''; then of each its name; the version that it is to have, or 0 where it is not to be there; its new version,
-- or '' to delete it; when it is to be looked at, or ''; its content; its jobs (msgpack list: see shared/store.lua), or ''.
-- Result: of each, 1 where it was changed, else 0.
local now, done, any = time(ARGV[1]), {}, false
for n = 2, #ARGV, 6 do
  local name, before, version, at, body, jobs = unpack(ARGV, n, n + 5)
  local found, fits = call('HGET', p .. 'schedules', name), false
  if before == '0' then
    fits = not found and version ~= ''
  elseif found then
    fits = sub(found, 1, #before + 1) == before .. '\n'
  end
  if fits then
    any = true
    if version == '' then call('HDEL', p .. 'schedules', name) else call('HSET', p .. 'schedules', name, version .. '\n' .. at .. '\n' .. body) end
    if version == '' or at == '' then call('ZREM', p .. 'schedules_due', name) else call('ZADD', p .. 'schedules_due', at, name) end
    if jobs ~= '' then store(cmsgpack.unpack(jobs), now, false) end
  end
  done[#done + 1] = fits and 1 or 0
end
settle()
if any then ring() end
return done
