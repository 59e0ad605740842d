-- Cancel jobs that have not started. In: ids. Out: how many.
with these as (
  select id from penstock.job where id = any(%(ids)s) and state <= 2 and claim is null order by id for update
), changed as (
  update penstock.job j set state = 4, uniq = null, run_at = null, ended_at = clock_timestamp()
  from these where j.id = these.id returning j.batch, j.items
), counted as (
  update penstock.batch b set failed = b.failed + s.items
  from (select batch, sum(items) as items from changed where batch is not null group by batch) as s where b.id = s.batch
)
select count(*) from changed
