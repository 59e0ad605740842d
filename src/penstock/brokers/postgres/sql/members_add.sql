-- Jobs whose results others take. In: stages, jobs, side by side.
insert into penstock.member (stage, job) select * from unnest(%(stages)s, %(jobs)s) on conflict do nothing
