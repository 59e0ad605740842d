-- Where a ready job stands. In: id, how many before it to count at most. Out: the stored queue, the number of its line and its turn where it keeps an
-- order, and how many are before it.
select j.queue, j.line, j.turn,
  case when coalesce(j.turn, 0) > 0
    then (select count(*) from (select 1 from penstock_job b where b.line = j.line and b.turn > 0 and b.turn < j.turn limit ?2))
    else (select count(*) from (
      select 1 from penstock_ready r
      where r.queue = j.queue and (r.rank, r.position, r.seq) < (9 - j.priority, coalesce(j.position, j.seq), j.seq) limit ?2))
  end
from penstock_job j join penstock_record r on r.seq = j.seq
where j.id = ?1 and r.state = 'ready'
