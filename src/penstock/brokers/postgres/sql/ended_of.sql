-- The jobs of a stage that have ended and are kept. In: the stage. Out: id.
select id from penstock.job where batch = %(id)s::uuid and state >= 3 order by id
