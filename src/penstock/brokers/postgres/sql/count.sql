-- Out: queue, state, whether held, count.
select queue, state, claim is not null, count(*) from penstock.job group by 1, 2, 3 order by 1
