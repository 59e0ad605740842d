-- Jobs as they are stored.
-- uses: base record leases
-- may: only read
-- Keys: the prefix. Arguments: ids.
-- Result: for each the record or false, the failure, the unique key, and the claim's number and holder where it runs.
local ids, found = { unpack(ARGV) }, {}
local recs, failures, keys, runs = fetch('HMGET', p .. 'jobs', ids), fetch('HMGET', p .. 'fail', ids), fetch('HMGET', p .. 'unique_of', ids), running(ids)
for n, id in ipairs(ids) do
  local number = recs[n] and runs[id]
  found[n] = { recs[n], failures[n], keys[n], number or false, number and call('HGET', p .. 'claims', number) or false }
end
return found
