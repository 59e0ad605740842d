-- Out: worker, how many jobs it holds.
select h.worker, count(*) from penstock_running r join penstock_holder h on h.key = r.holder group by h.worker
