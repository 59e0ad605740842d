-- A worker lives. In: id, info, now (monotonic), socket or null.
insert into penstock_worker (id, info, beat, socket) values (?1, ?2, ?3, ?4)
on conflict (id) do update set info = excluded.info, beat = excluded.beat, socket = excluded.socket
