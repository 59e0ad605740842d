-- Take back what a gate let through that did not start. In: gate, seconds.
update penstock_gate set paid_until = paid_until - ?2 where name = ?1
