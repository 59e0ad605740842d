-- Take the items of deleted jobs off their batches. In: JSON array of seqs.
update penstock_batch set total = total - gone.items
from (select batch, sum(items) as items from penstock_job
      where seq in (select value from json_each(?1)) and batch is not null group by batch) as gone
where penstock_batch.id = gone.batch
