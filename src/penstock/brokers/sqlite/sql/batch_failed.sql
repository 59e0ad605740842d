-- Count jobs as failed in their batches, or no longer. In: JSON array of seqs, 1 or -1.
update penstock_batch set failed = failed + ?2 * these.items
from (select batch, sum(items) as items from penstock_job
      where seq in (select value from json_each(?1)) and batch is not null group by batch) as these
where penstock_batch.id = these.batch
