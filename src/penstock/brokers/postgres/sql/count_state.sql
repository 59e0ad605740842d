-- Jobs in a state that has an index. In: state, most. Out: queue, count; of so many jobs.
select queue, count(*) from (select queue from penstock.job where state = %(state)s limit %(most)s) as counted group by 1
