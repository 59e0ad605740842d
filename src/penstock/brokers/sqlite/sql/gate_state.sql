-- In: the gate's name. Out: until when what it let through is paid for.
select paid_until from penstock_gate where name = ?1
