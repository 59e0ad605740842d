-- Of these jobs, those that run and are to be cancelled. In: JSON array of seqs. Out: claim, seq.
select claim, seq from penstock_running where seq in (select value from json_each(?1)) and cancelled = 1
