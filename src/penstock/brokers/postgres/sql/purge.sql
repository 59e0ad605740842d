-- Delete the jobs of a queue that wait, ready or delayed, and take their items off their batches; those of a workflow count as failed. In: queue. Out: how many.
with these as (
  select id from penstock.job where (queue = %(queue)s or (queue >= ',' || %(queue)s || ',' and queue < ',' || %(queue)s || '-')) and state in (0, 1) and claim is null order by id for update
), gone as (
  delete from penstock.job j using these where j.id = any(array[these.id]) returning j.batch, j.items
), shrunk as (
  update penstock.batch b
  set total = b.total - case when st.id is null then s.items else 0 end, failed = b.failed + case when st.id is null then 0 else s.items end
  from (select batch, sum(items) as items from gone where batch is not null group by batch) as s
  left join penstock.stage st on st.id = s.batch
  where b.id = s.batch
)
select count(*) from gone
