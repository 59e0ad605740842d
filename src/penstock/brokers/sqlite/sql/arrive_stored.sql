-- Which of the jobs after a seq are stored. In: the seq. Out: seq.
select seq from penstock_job where seq > ?1
