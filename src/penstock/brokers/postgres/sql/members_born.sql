-- Jobs that have joined stages, of which others take the results. In: stages, jobs, side by side.
insert into penstock.member (stage, job)
select x.stage, x.job from unnest(%(stages)s, %(jobs)s) as x (stage, job)
where exists (select from penstock.member m where m.stage = x.stage)
on conflict do nothing
