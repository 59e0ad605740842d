-- Forget what gates let through. In: the name of their limit.
delete from penstock_gate where name = ?1 or (name >= ?1 || ',' and name < ?1 || '-')
