-- Delete the counters of batches that have had no job for long. In: at (epoch seconds or null), every (seconds until the next look
-- at one that stays), most (how many to look at).
select penstock.prune_batches(%(at)s::float8, %(every)s::float8, %(most)s::integer)
