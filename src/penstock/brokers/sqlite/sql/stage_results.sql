-- What the jobs of a stage left, in their order: their results, and the failures of those that failed (null where they have none).
-- In: the stage. Out: value.
select value from (
  select id, value from penstock_result where batch = ?1
  union all
  select j.id, j.failure from penstock_job j join penstock_ended e on e.seq = j.seq where j.batch = ?1
) order by id
