-- What a writer of new jobs must know. Out: the seq after which they go, the highest in use or the last place taken by a
-- job that went to the back; and where the workers listen, names parted by slashes, which a name can't hold, or null.
select max((select coalesce(max(seq), 0) from penstock_job), (select value from penstock_meta where name = 'place')),
  (select group_concat(socket, '/') from penstock_worker where socket is not null)
