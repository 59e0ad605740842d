-- Change a schedule. In: name, the version it is to have been, version, next_at, body.
update penstock_schedule set version = ?3, next_at = ?4, body = ?5 where name = ?1 and version = ?2
