-- See to a unique key that another job holds: free it where that runs, or have that give way where it waits. In: key, id of the new job, started (is it free once its
-- holder runs?), replace (does a holder that waits give way?). Out: the id of the job that gave way, or null.
with holder as materialized (
  select id, claim is not null as runs from penstock.job where uniq = %(key)s and id <> %(id)s::uuid for update
), freed as (
  update penstock.job j set uniq = null from holder where j.id = any(array[holder.id]) and holder.runs and %(started)s
), gone as (
  delete from penstock.job j using holder where j.id = any(array[holder.id]) and not holder.runs and %(replace)s returning j.id
)
select max(id::text)::uuid from gone
