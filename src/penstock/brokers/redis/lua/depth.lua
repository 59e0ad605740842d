-- How many jobs of a queue are ready.
-- uses: base record ready
-- may: only read
-- Keys: the prefix. Arguments: the queue. Result: how many.
return depth(ARGV[1])
