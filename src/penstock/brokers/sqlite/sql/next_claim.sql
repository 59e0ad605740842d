-- Out: a claim number never given before.
update penstock_meta set value = value + 1 where name = 'claim' returning value
