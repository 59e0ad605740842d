-- The next ids in a hash, set or sorted set.
-- uses: base
-- may: only read
-- Keys: the prefix. Arguments: HSCAN, SSCAN or ZSCAN; the key's name; where it was left; how many about.
-- Result: where it is now, and ids.
local found = call(ARGV[1], p .. ARGV[2], ARGV[3], 'COUNT', ARGV[4])
local by, ids = ARGV[1] == 'SSCAN' and 1 or 2, {}
for n = 1, #found[2], by do ids[#ids + 1] = found[2][n] end
return { found[1], ids }
