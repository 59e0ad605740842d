-- Cancel a stage that waits. In: id, reason, at (epoch seconds or null).
select penstock.stop_stage(%(id)s::uuid, 'cancelled', %(reason)s, coalesce(penstock.moment(%(at)s::float8), clock_timestamp()))
