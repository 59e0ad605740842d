-- Store plain jobs, all of one queue and priority and ready at once.
-- uses: base record ready ring plain
-- Keys: the prefix. Arguments: now or ''; queue; priority; then of each job its id and its record from its attempts on.
-- Result: nothing; a job whose id is stored already is left as it is.
if store_plain(ARGV[2], ARGV[3], time(ARGV[1]), 4, (#ARGV - 3) / 2) then wake() end
