-- What the server tells of itself.
-- uses: base
-- may: only read
-- Keys: the prefix. No arguments. Result: sections of INFO.
local sections = {}
for _, name in ipairs({ 'server', 'replication', 'persistence', 'memory' }) do sections[#sections + 1] = call('INFO', name) end
return sections
