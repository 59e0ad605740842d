-- Set limits. In: names, terms (null: lifted). Out: whether anything was changed.
select penstock.declare(%(names)s, %(terms)s)
