-- Give jobs a new place, behind all that are stored. In: JSON array of seqs.
update penstock_job set run_at = null, position = (select max(seq) from penstock_job)
where seq in (select value from json_each(?1))
