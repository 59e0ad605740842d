-- Take new places in the ready set, behind all that are stored or were taken. In: JSON array of seqs, one place for each.
update penstock_meta
set value = max(value, (select coalesce(max(seq), 0) from penstock_job)) + json_array_length(?1)
where name = 'place'
