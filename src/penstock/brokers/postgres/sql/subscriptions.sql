-- Out: for every subscription, in the order of the keys, the number of the last change of any, group, task, pattern, queue, priority, gate, at_most_once;
-- where there is none, a row of nulls after the number.
select coalesce((select value from penstock.meta where name = 'subscriptions'), 0), s.*
from (select) one left join penstock.subscription s on true
order by s.grp, s.task, s.pattern
