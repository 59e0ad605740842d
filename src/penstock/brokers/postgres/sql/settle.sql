-- See to the stages that wait for some. In: ids, at (epoch seconds or null).
select penstock.settle(%(ids)s, coalesce(penstock.moment(%(at)s::float8), clock_timestamp()))
