-- A result that is kept.
-- uses: base
-- may: only read
-- Keys: the prefix. Arguments: now or ''; the job's id. Result: the value, or false.
local expiry = call('ZSCORE', p .. 'expiry', ARGV[2])
if not expiry or tonumber(expiry) % KEPT <= time(ARGV[1]) then return false end
return call('HGET', p .. 'results', ARGV[2])
