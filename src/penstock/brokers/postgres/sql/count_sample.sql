-- The jobs on some pages, the same ones each time as long as there are as many. In: percent of the pages. Out: queue, state, whether held, count.
select queue, state, claim is not null, count(*) from penstock.job tablesample system (%(percent)s) repeatable (1) group by 1, 2, 3
