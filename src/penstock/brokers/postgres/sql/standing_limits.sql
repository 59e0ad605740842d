-- The limits of some names. In: names. Out: name, terms.
select name, terms from penstock.limits where name = any(%(names)s)
