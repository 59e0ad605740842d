-- All that is known of jobs. In: JSON array of seqs. Out: the columns of a MovedJob but for `placed`, then turn, in the order of the seqs as given.
select j.id, j.task, j.payload,
       case when e.seq is not null then e.state when p.seq is not null then 'parked' when j.run_at is not null then 'delayed' else 'ready' end,
       j.created_at, j.queue, j.priority, j.options, j.attempt, j.crashes, j.batch, j.items, j.packed, j.item, j.at_most_once, j.uniq, j.run_at, j.ready_at,
       e.at, j.failure, j.turn
from json_each(?1) s
cross join penstock_job j on j.seq = s.value
left join penstock_ended e on e.seq = j.seq
left join penstock_parked p on p.task = j.task and p.seq = j.seq
order by s.key
