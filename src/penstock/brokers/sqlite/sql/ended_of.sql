-- The jobs of a stage that have ended and are kept. In: the stage. Out: seq.
select j.seq from penstock_job j join penstock_ended e on e.seq = j.seq where j.batch = ?1 order by j.seq
