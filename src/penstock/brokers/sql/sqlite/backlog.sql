-- What is ready in some queues. In: JSON array of queues, how many to count. Out: how many.
select count(*) from (select 1 from penstock_ready where queue in (select value from json_each(?1)) limit ?2)
