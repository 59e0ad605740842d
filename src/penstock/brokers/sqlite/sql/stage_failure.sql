-- Why the first job of a stage failed that did. In: the stage. Out: failure or null, its state.
select j.failure, e.state from penstock_job j join penstock_ended e on e.seq = j.seq where j.batch = ?1 order by e.state = 'cancelled', j.id limit 1
