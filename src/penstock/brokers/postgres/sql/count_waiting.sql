-- Jobs that wait for others, by the stages they are of. In: most. Out: queue, count; of so many jobs.
select queue, count(*) from (
  select j.queue from penstock.stage s join penstock.job j on j.batch = s.id and j.state = -1 where s.ended_at is null limit %(most)s) as counted
group by 1
