-- Some jobs, from a place on. In: seq, the seq before which they are, how many at most. Out: seq, queue, state.
select seq, queue, state from penstock_record where seq >= ?1 and seq < ?2 order by seq limit ?3
