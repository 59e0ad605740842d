-- Take the items of deleted jobs off their batches; of a workflow's, they count as failed. In: JSON array of seqs.
update penstock_batch
set total = total - case when exists (select 1 from penstock_stage s where s.id = gone.batch) then 0 else gone.items end,
    failed = failed + case when exists (select 1 from penstock_stage s where s.id = gone.batch) then gone.items else 0 end
from (select batch, sum(items) as items from penstock_job
      where seq in (select value from json_each(?1)) and batch is not null group by batch) as gone
where penstock_batch.id = gone.batch
