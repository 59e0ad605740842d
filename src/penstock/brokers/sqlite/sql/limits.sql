-- Out: name, terms of every limit.
select name, terms from penstock_limit
