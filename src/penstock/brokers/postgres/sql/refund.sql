-- Take back what gates let through that did not start. In: gates, seconds.
update penstock.gate g set paid_until = g.paid_until - x.seconds
from (select g.name, x.seconds from penstock.gate g join unnest(%(gates)s, %(seconds)s) as x (name, seconds) on g.name = x.name
      order by g.name for update of g) as x
where g.name = x.name
