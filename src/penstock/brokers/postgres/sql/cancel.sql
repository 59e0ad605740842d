-- Cancel jobs that have not started, and wake the workers for what was behind one of them. In: ids. Out: how many, and a second column of no meaning.
with these as (
  select id from penstock.job where id = any(%(ids)s) and state <= 2 and claim is null order by uuid_send(id) for update
), changed as (
  update penstock.job j set state = 4, waits = null, uniq = null, run_at = null, ended_at = clock_timestamp()
  from these where j.id = any(array[these.id]) returning j.queue, j.batch, j.items
), counted as (
  update penstock.batch b set failed = b.failed + s.items
  from (select batch, sum(items) as items from changed where batch is not null group by batch) as s where b.id = s.batch
), heard as (
  select penstock.ring() from (select from changed where penstock.is_ordered(queue) limit 1) as any_of_them
)
select count(*), (select count(*) from heard) from changed
