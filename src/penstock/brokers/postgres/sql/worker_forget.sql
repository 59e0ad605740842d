-- Take a worker off the list. In: id.
delete from penstock.worker where id = %(id)s
