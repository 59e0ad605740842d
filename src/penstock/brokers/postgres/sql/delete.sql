-- Delete jobs that are not running; those of a workflow count as failed. Those that ended are counted in their batches; one that waits takes its items with it.
-- Wakes the workers for what was behind one of them. In: ids. Out: how many, and a second column of no meaning.
with these as (
  select id from penstock.job where id = any(%(ids)s) and claim is null order by uuid_send(id) for update
), gone as (
  delete from penstock.job j using these where j.id = any(array[these.id]) returning j.state, j.queue, j.batch, j.items
), shrunk as (
  update penstock.batch b
  set total = b.total - case when st.id is null then s.items else 0 end, failed = b.failed + case when st.id is null then 0 else s.items end
  from (select batch, sum(items) as items from gone where batch is not null and state < 3 group by batch) as s
  left join penstock.stage st on st.id = s.batch
  where b.id = s.batch
), heard as (
  select penstock.ring() from (select from gone where penstock.is_ordered(queue) limit 1) as any_of_them
)
select count(*), (select count(*) from heard) from gone
