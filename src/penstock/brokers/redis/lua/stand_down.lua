-- A process is not to be rung for any more.
-- uses: base standby
-- may: write when memory is full
-- Keys: the prefix. Arguments: the process's name. Result: nothing.
leave_standby(ARGV[1])
