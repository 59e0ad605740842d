-- The first and the last of all jobs. Out: seq, seq (null: there is none).
select (select min(seq) from penstock_job), (select max(seq) from penstock_job)
