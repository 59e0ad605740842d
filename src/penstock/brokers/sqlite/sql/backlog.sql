-- What is ready in some queues and may start, with those behind it that keep its order. In: JSON array of queues, how many to count. Out: how many.
select count(*) from (
  select 1 from penstock_ready where queue in (select value from json_each(?1))
  union all
  select 1 from penstock_ready r
  cross join penstock_job h on h.seq = r.seq and h.turn > 0
  cross join penstock_job j on j.line = h.line and j.turn > h.turn and j.turn > 0
  where r.queue in (select value from json_each(?1)) and exists (select 1 from penstock_job where turn > 0)
  limit ?2)
