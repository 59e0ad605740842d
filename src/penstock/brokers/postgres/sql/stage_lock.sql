-- Have a stage to oneself. In: id. Out: its state, how many of its jobs wait.
select s.state, (select count(*) from penstock.job j where j.batch = s.id and j.state = -1)
from penstock.stage s where s.id = %(id)s::uuid for update
