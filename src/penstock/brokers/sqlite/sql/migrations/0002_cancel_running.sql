-- Jobs that run can be asked to be cancelled, and a job knows since when it has been ready.

alter table penstock_running add column cancelled integer;    -- 1 where the job is to be cancelled
create index penstock_running_cancelled on penstock_running (holder, seq) where cancelled = 1;

-- Since when it has been ready, where that is not since it was made.
alter table penstock_job add column ready_at real;
