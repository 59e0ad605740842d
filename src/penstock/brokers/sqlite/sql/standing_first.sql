-- The first job of a line that keeps its order. In: the number of the line. Out: id.
select id from penstock_job where line = ?1 and turn > 0 order by turn limit 1
