-- Delete jobs that are not running. Those that ended are counted in their batches; one that waits takes its items with it.
-- In: ids. Out: how many.
with these as (
  select id from penstock.job where id = any(%(ids)s) and claim is null order by id for update
), gone as (
  delete from penstock.job j using these where j.id = these.id returning j.state, j.batch, j.items
), shrunk as (
  update penstock.batch b set total = b.total - s.items
  from (select batch, sum(items) as items from gone where batch is not null and state < 3 group by batch) as s
  where b.id = s.batch
)
select count(*) from gone
