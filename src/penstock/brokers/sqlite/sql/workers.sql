-- Every worker on the list. Out: id, info, beat, socket.
select id, info, beat, socket from penstock_worker order by id
