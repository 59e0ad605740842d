-- Tell those who wait for jobs to end.
-- uses: base ends
-- may: write when memory is full
-- Keys: the prefix. Arguments: ids; with none, any job may have ended.
if is_watched() then tell_ended(ARGV) end
