-- What a stage's jobs take. In: id. Out: takes, rule.
select takes, rule from penstock_stage where id = ?1
