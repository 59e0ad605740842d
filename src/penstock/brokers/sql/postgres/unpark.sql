-- Make the parked jobs of tasks ready again, where they were. In: tasks. Out: how many.
with these as (
  select id from penstock.job where state = 2 and task = any(%(tasks)s) order by id for update
), back as (
  update penstock.job j set state = 0 from these where j.id = these.id returning j.id
), heard as (
  select penstock.ring() from (select from back limit 1) as any_of_them
)
select (select count(*) from back), (select count(*) from heard)
