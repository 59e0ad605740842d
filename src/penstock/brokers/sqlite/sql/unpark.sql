-- Take jobs of some tasks out of the parked. In: JSON array of task names.
delete from penstock_parked where task in (select value from json_each(?1))
