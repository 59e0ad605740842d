-- Jobs that keep an order, of lines of which none runs. In: JSON array of queues or null, how many at most. Out: seq, line, by their order.
select seq, line from penstock_job
where turn > 0 and line not in (select line from penstock_running where line is not null)
  and (?1 is null or substr(queue, 2, instr(substr(queue, 2), ',') - 1) in (select value from json_each(?1)))
order by line, turn
limit ?2
