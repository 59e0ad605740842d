-- Jobs wait for their stages to start. In: their ids, and of those the ones that have a time to run at.
update penstock.job set state = -1, run_at = case when id = any(%(dated)s) then run_at end where id = any(%(ids)s)
