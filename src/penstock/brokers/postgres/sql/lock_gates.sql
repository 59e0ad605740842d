-- Lock gates. In: names. Out: name, until when it is paid for, how many jobs run that passed it.
select name, paid_until, running from penstock.lock_gates(%(names)s)
