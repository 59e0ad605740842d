-- All jobs of a line that have a place in its order. In: the line's number. Out: seq, line, by their order.
select seq, line from penstock_job where line = ?1 and turn > 0 order by turn
