-- Where the workers listen. Out: socket.
select socket from penstock_worker where socket is not null
