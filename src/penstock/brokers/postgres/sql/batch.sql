-- In: id. Out: total, done, failed, retried.
select total, done, failed, retried from penstock.batch where id = %(id)s
