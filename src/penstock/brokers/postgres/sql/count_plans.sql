-- For this transaction, have every count go by an index: with most jobs in one state, the planner takes a look at all for cheaper, and it may be at each of them.
select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('jit', 'off', true)
