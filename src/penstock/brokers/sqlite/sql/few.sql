-- Jobs in one state. In: state, how many at most. Out: seq.
select seq from penstock_running where ?1 = 'running'
union all select seq from penstock_delayed where ?1 = 'delayed'
union all select seq from penstock_parked where ?1 = 'parked'
union all select seq from penstock_waiting where ?1 = 'waiting'
union all select seq from penstock_ready where ?1 = 'ready'
limit ?2
