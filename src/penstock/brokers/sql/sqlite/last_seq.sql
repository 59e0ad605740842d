-- Out: the seq after which new jobs go: the highest in use, or the last place taken by a job that went to the back.
select max((select coalesce(max(seq), 0) from penstock_job), (select value from penstock_meta where name = 'place'))
