-- Keep a subscription, and give all patterns of its handler the same terms.
-- In: grp, task, pattern, queue, priority, gate, once.
with new as (
  insert into penstock.subscription (grp, task, pattern, queue, priority, gate, at_most_once)
  values (%(grp)s, %(task)s, %(pattern)s, %(queue)s, %(priority)s, %(gate)s, %(once)s)
  on conflict do nothing
)
update penstock.subscription set queue = %(queue)s, priority = %(priority)s, gate = %(gate)s, at_most_once = %(once)s
where grp = %(grp)s and task = %(task)s
  and (queue, priority, gate, at_most_once) is distinct from (%(queue)s, %(priority)s::smallint, %(gate)s, %(once)s::boolean)
