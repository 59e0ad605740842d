-- Who waits for a batch. In: the batch. Out: stage, rule, how many it waits for; in the order of their workflow.
select s.id, s.rule, s.open from penstock_edge e join penstock_stage s on s.id = e.stage where e.batch = ?1 order by s.position
