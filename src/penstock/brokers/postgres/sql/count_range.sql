-- The jobs on some pages of the table. In: the first page and the one after the last, as places in it. Out: queue, state, whether held, count.
select queue, state, claim is not null, count(*) from penstock.job
where ctid >= %(first)s::text::tid and ctid < %(last)s::text::tid
group by 1, 2, 3
