-- Forget the gates at which all is paid for. In: now.
delete from penstock_gate where paid_until < ?1
