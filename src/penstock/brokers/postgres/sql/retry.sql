-- Make jobs that ended ready again, behind all others and with all their attempts; those wait whose stage has not started, and those stay whose stage will not start.
-- In: ids. Out: how many, and a second column of no meaning.
with these as (
  select j.id, coalesce(s.state, '') as stage
  from penstock.job j left join lateral (select s.state from penstock.stage s where s.id = j.batch offset 0) as s on true
  where j.id = any(%(ids)s) and j.state >= 3 and coalesce(s.state, 'started') in ('started', 'waiting') order by uuid_send(j.id) for update of j
), changed as (
  update penstock.job j
  set state = case when these.stage = 'waiting' then -1 else 0 end, seq = nextval('penstock.place'), ready_at = clock_timestamp(), attempt = 0, crashes = 0,
      run_at = null, ended_at = null
  from these where j.id = any(array[these.id]) returning j.queue, j.batch, j.items
), unended as (
  update penstock.stage s set ended_at = null from (select distinct batch from changed) as c where s.id = c.batch and s.state = 'started'
), counted as (
  update penstock.batch b set failed = b.failed - s.items
  from (select batch, sum(items) as items from changed where batch is not null group by batch) as s where b.id = s.batch
), heard as (
  select penstock.look(array(select distinct queue from changed)), penstock.ring() from (select from changed limit 1) as any_of_them
)
select (select count(*) from changed), (select count(*) from heard)
