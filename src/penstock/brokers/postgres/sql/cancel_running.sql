-- Ask for running jobs to be cancelled, and wake the workers. In: ids. Out: how many, and a second column of no meaning.
with these as (
  select id from penstock.job where id = any(%(ids)s) and state = 0 and claim is not null order by uuid_send(id) for update
), marked as (
  update penstock.job j set cancelled = true from these where j.id = any(array[these.id]) returning j.id
), heard as (
  select penstock.ring(true) from (select from marked limit 1) as any_of_them
)
select (select count(*) from marked), (select count(*) from heard)
