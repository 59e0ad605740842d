-- The jobs at the head of a queue. In: queue, limit. Out: rank, position, seq.
select rank, position, seq from penstock_ready
where queue = ?1
order by rank, position, seq
limit ?2
