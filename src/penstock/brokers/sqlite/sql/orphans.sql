-- Keys that hold jobs but that no holder has. Out: key.
select distinct holder from penstock_running where holder not in (select key from penstock_holder)
