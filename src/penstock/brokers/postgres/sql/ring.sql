-- Wake the workers.
select penstock.ring()
