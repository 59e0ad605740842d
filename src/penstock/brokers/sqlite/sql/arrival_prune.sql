-- Forget shipments that were settled long ago. In: since when at least (epoch seconds).
delete from penstock_arrival where settled_at < ?1
