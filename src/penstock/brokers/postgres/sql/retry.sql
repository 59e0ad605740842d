-- Make jobs that ended ready again, behind all others and with all their attempts. In: ids. Out: how many, and a second
-- column of no meaning.
with these as (
  select id from penstock.job where id = any(%(ids)s) and state >= 3 order by id for update
), changed as (
  update penstock.job j set state = 0, seq = nextval('penstock.place'), ready_at = clock_timestamp(), attempt = 0, crashes = 0, run_at = null, ended_at = null
  from these where j.id = these.id returning j.queue, j.batch, j.items
), counted as (
  update penstock.batch b set failed = b.failed - s.items
  from (select batch, sum(items) as items from changed where batch is not null group by batch) as s where b.id = s.batch
), heard as (
  select penstock.look(array(select distinct queue from changed)), penstock.ring() from (select from changed limit 1) as any_of_them
)
select (select count(*) from changed), (select count(*) from heard)
