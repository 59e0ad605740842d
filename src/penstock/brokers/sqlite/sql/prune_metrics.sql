-- Delete the points of a span that are too old, or from before the clock was set back. In: span, the oldest and the latest to keep.
delete from penstock_metrics where span = ?1 and (at < ?2 or at > ?3)
