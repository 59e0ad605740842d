-- Out: the highest seq in use, or 0.
select coalesce(max(seq), 0) from penstock_job
