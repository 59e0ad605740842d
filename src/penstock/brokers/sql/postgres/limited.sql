-- May anything be limited? Out: true or false.
select exists (select from penstock.limits) or exists (select from penstock.line)
