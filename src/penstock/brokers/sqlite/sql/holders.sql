-- Every holder with its worker's last sign of life. Out: key, worker, last sign (monotonic), the worker's socket.
select h.key, h.worker, coalesce(w.beat, h.since), w.socket from penstock_holder h left join penstock_worker w on w.id = h.worker
