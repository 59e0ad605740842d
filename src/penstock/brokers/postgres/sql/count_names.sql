-- The queues in the ready set, from one to the next by the index: all of a queue's lines begin with its name between two commas. Out: queue or line.
with recursive found (name) as (
  (select queue from penstock.job where state = 0 order by queue limit 1)
  union all
  select (select j.queue from penstock.job j
          where j.state = 0 and j.queue > case when f.name like ',%%,%%' then ',' || split_part(f.name, ',', 2) || '-' else f.name end
          order by j.queue limit 1)
  from found f where f.name is not null
)
select name from found where name is not null
