-- End leases. In: the columns of outcomes; see the function. Out: null, or the numbers of those that came too late.
select penstock.finish(
  %(ids)s, %(claims)s, %(endings)s, %(delays)s, %(results)s, %(ttls)s, %(failures)s, %(payloads)s, %(items)s,
  %(step_of)s, %(step_batches)s, %(step_done)s, %(step_failed)s, %(step_retried)s, %(step_total)s, %(spent)s, %(at)s::float8)
