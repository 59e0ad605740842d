-- Put jobs among the ended. In: JSON array of [seq, state, when], of which those that are not stored are left out.
insert into penstock_ended (seq, state, at)
select j.seq, json_extract(s.value, '$[1]'), json_extract(s.value, '$[2]')
from json_each(?1) s cross join penstock_job j on j.seq = json_extract(s.value, '$[0]')
