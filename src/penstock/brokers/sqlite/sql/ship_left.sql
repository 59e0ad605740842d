-- What is left to leave. In: JSON array of queues or null, now. Out: how many jobs could leave, how many could not, results, counters that are not zero.
with chosen as (
  select seq, line, turn from penstock_job
  where ?1 is null
     or case when substr(queue, 1, 1) = ',' then substr(queue, 2, instr(substr(queue, 2), ',') - 1) else queue end in (select value from json_each(?1))
), held as (
  select count(*) as n from chosen c
  where c.seq in (select seq from penstock_running)
     or (c.turn > 0 and c.line in (select line from penstock_running where line is not null))
)
select (select count(*) from chosen) - held.n, held.n,
       case when ?1 is null then (select count(*) from penstock_result where expires_at > ?2) else 0 end,
       (select count(*) from penstock_batch b
        where (total, done, failed, retried) <> (0, 0, 0, 0) and (?1 is null or total = 0)
          and not exists (select 1 from penstock_job j where j.batch = b.id))
from held
