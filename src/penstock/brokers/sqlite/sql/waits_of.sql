-- The jobs of a stage that wait for its start, in their order. In: the stage. Out: seq, delay, run_at.
select w.seq, w.delay, j.run_at from penstock_waiting w join penstock_job j on j.seq = w.seq where w.stage = ?1 order by w.seq
